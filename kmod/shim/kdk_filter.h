/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A packet filter, see pfil(9), on an interface's own head: it is shown each
 * frame as the driver receives it, in the receive ring or as a chain of mbufs,
 * does what its rule says, and remembers what it was shown.
 */
#ifndef _KDK_FILTER_H_
#define	_KDK_FILTER_H_

#ifdef KDK_PCI_IFLIB
/* What a filter does with a frame. */
#define	KDK_FILTER_PASS		0
#define	KDK_FILTER_DROP		1
/* Drops it if the first byte that it is shown is that of the rule. */
#define	KDK_FILTER_DROP_FIRST	2
/* Takes it: a chain is kept; in the ring there is nothing to be kept. */
#define	KDK_FILTER_CONSUME	3
/*
 * Passes an mbuf chain of its own: a copy of the frame with all bits of the
 * byte 'at' changed and without the last 'trim' bytes.  It does so in the
 * ring; a chain is passed as it is.
 */
#define	KDK_FILTER_REPLACE	4

struct kdk_filter_rule {
	u_int		verdict;	/* KDK_FILTER_* */
	uint8_t		first;
	u_int		at;
	u_int		trim;
};

/* A call of a filter, or a chain that it has kept. */
struct kdk_filtered {
	int		memory;		/* in the ring, not a chain */
	u_int		length;		/* bytes, as the filter is told */
	u_int		chain;		/* bytes, in the ring the same */
	u_int		copied;		/* of them, the first ones */
};

struct kdk_filter;

/*
 * Sleeps; an errno value or 0.  It has to be closed before its interface goes.
 */
int	 kdk_filter_open(const char *name, const struct kdk_filter_rule *rule,
	    struct kdk_filter **filterp);
void	 kdk_filter_close(struct kdk_filter *filter);
/*
 * The oldest call, and the oldest chain that was kept, which is freed: ENOENT
 * when there is none, EMSGSIZE when there is less room than it needs.
 */
int	 kdk_filter_take_call(struct kdk_filter *filter, void *bytes, size_t room,
	    struct kdk_filtered *filtered);
int	 kdk_filter_take_consumed(struct kdk_filter *filter, void *bytes, size_t room,
	    struct kdk_filtered *filtered);
/* Calls that there was no memory to remember, or to act upon. */
u_int	 kdk_filter_lost(struct kdk_filter *filter);
#endif

#endif /* !_KDK_FILTER_H_ */
