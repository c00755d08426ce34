/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A packet filter on the link-layer head of an interface, see pfil(9).  It is
 * called for each frame that the driver receives, in the receive ring or as an
 * mbuf chain.  It applies its rule and records the call.
 */
#ifndef _KDK_FILTER_H_
#define	_KDK_FILTER_H_

#ifdef KDK_PCI_IFLIB
/* The verdict of a filter. */
#define	KDK_FILTER_PASS		0
#define	KDK_FILTER_DROP		1
/* Drops a frame whose first byte is that of the rule. */
#define	KDK_FILTER_DROP_FIRST	2
/* Consumes the frame.  A chain is kept; memory of the ring is not. */
#define	KDK_FILTER_CONSUME	3
/*
 * Replaces a frame by an mbuf chain: a copy with the byte 'at' inverted and
 * without the last 'trim' bytes.
 */
#define	KDK_FILTER_REPLACE	4

struct kdk_filter_rule {
	u_int		verdict;	/* KDK_FILTER_* */
	uint8_t		first;
	u_int		at;
	u_int		trim;
};

/* A call of a filter, or a chain that it has consumed. */
struct kdk_filtered {
	int		memory;		/* in the ring, not a chain */
	u_int		length;		/* bytes, as the filter is called */
	u_int		chain;		/* bytes of the chain; in the ring, length */
	u_int		copied;		/* bytes that were recorded */
};

struct kdk_filter;

/*
 * Opens a filter.  Sleeps, and returns an errno value or 0.  Close it before
 * its interface detaches.
 */
int	 kdk_filter_open(const char *name, const struct kdk_filter_rule *rule,
	    struct kdk_filter **filterp);
void	 kdk_filter_close(struct kdk_filter *filter);
/*
 * Remove the oldest call, or the oldest chain that was consumed: ENOENT if
 * there is none, EMSGSIZE if it needs more room.
 */
int	 kdk_filter_take_call(struct kdk_filter *filter, void *bytes, size_t room,
	    struct kdk_filtered *filtered);
int	 kdk_filter_take_consumed(struct kdk_filter *filter, void *bytes,
	    size_t room, struct kdk_filtered *filtered);
/* Returns the number of calls not recorded or replaced for want of memory. */
u_int	 kdk_filter_lost(struct kdk_filter *filter);
#endif

#endif /* !_KDK_FILTER_H_ */
