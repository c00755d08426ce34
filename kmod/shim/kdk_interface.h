/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A network interface, by its name in vnet0: the state and the settings of
 * ifconfig(8), and a tap, which receives frames in place of the stack.
 */
#ifndef _KDK_INTERFACE_H_
#define	_KDK_INTERFACE_H_

#ifdef KDK_HAVE_IXGBE
#include <net/if.h>

struct kdk_interface {
	u_int		flags;		/* IFF_* */
	u_int		link_state;	/* LINK_STATE_* */
	const char	*medium;	/* in use, as ifconfig(8) names it */
	u_int		mtu;
	uint64_t	baudrate;	/* bits per second */
	uint64_t	ipackets;
	uint64_t	ierrors;
	uint64_t	iqdrops;
	uint64_t	opackets;
	uint64_t	oerrors;
};

#ifdef KDK_PCI_IFLIB
/* The counters of iflib(9).  Drivers may report other numbers. */
struct kdk_counted {
	uint64_t	ipackets;
	uint64_t	ibytes;
	uint64_t	ierrors;
};

int	 kdk_interface_iflib_counters(const char *name,
	    struct kdk_counted *counted);
#endif

/* The metadata of a frame in a tap. */
struct kdk_tapped {
	size_t		length;		/* bytes of the mbuf chain */
	size_t		header;		/* m_pkthdr.len */
	int		mine;		/* rcvif is the tap's interface */
	uint32_t	flowid;
	u_int		hash_type;	/* M_HASHTYPE_* */
	u_int		csum_flags;
	int		vlan;		/* tag, or -1 */
};

struct kdk_tap;

/*
 * All of these sleep and return an errno value or 0: ENXIO if there is no such
 * interface.
 */
int	 kdk_interface_get(const char *name, struct kdk_interface *interface);
int	 kdk_interface_set_up(const char *name, int up);
/* These are mtu and lro of ifconfig(8).  A running driver reinitializes. */
int	 kdk_interface_set_mtu(const char *name, u_int mtu);
int	 kdk_interface_set_lro(const char *name, int on);
/* Joins or leaves the group of 01:00:5e:00:00:'group'. */
int	 kdk_interface_multicast(const char *name, uint8_t group, int join);
int	 kdk_interface_transmit(const char *name, const void *frame,
	    size_t length);

/*
 * The task of an interface that reports link changes, or NULL if there is no
 * such interface.
 */
const void *kdk_interface_link_task(const char *name);
/* Blocks the queue of these tasks, once those that are queued have run. */
void	 kdk_link_tasks_block(void);
void	 kdk_link_tasks_unblock(void);
/* Sleeps until the memory of all detached interfaces is free. */
void	 kdk_interfaces_freed(void);

/* Returns EBUSY if there are too many taps.  Close it before the detach. */
int	 kdk_tap_open(const char *name, struct kdk_tap **tapp);
void	 kdk_tap_close(struct kdk_tap *tap);
/*
 * Removes the oldest frame, see kdk_mbufq_take().
 */
int	 kdk_tap_take(struct kdk_tap *tap, void *bytes, size_t room,
	    struct kdk_tapped *tapped);
/*
 * Blocks the thread that delivers the frame with the big-endian number 'value'
 * at the offset 'at', until kdk_tap_unblock() or kdk_tap_close().
 * kdk_tap_blocked() returns that thread, or NULL.
 */
void	 kdk_tap_block_on(struct kdk_tap *tap, size_t at, uint32_t value);
const struct thread *kdk_tap_blocked(struct kdk_tap *tap);
/* Returns whether the thread of a taskqueue(9) sleeps until there is a task. */
int	 kdk_waits_for_tasks(struct thread *thread);
void	 kdk_tap_unblock(struct kdk_tap *tap);
/* Returns the number of frames that the tap had no room for. */
u_int	 kdk_tap_lost(struct kdk_tap *tap);
/*
 * Returns the number of frames that have arrived, and the time of the last one
 * by kdk_ticks().
 */
uint64_t kdk_tap_arrived(struct kdk_tap *tap, uint64_t *last);
/* Returns the TSC. */
uint64_t kdk_ticks(void);
#endif

#endif /* !_KDK_INTERFACE_H_ */
