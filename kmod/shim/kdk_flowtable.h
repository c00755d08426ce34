/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The flowtable of the tree under test (net/flowtable.c).  The test supplies
 * the routes, lles, CPUs, hash and clock.  In trees without that file this file
 * declares nothing; build.rs sees that in the bindings.
 *
 * The module includes net/flowtable.c instead of calling the kernel's own
 * functions.  Those are static, have one table, which the machine's traffic
 * uses, and read the machine's routing table.  With a table of its own a test
 * can choose its size, and the series needs no hooks for tests.
 */
#ifndef _KDK_FLOWTABLE_H_
#define	_KDK_FLOWTABLE_H_

#if __has_include(<net/flowtable.c>)
#define	KDK_HAVE_FLOWTABLE

/*
 * A key is an IPv4 or IPv6 address.  Its first word is its hash: its bucket is
 * that word modulo the size of the table.  The top bits of the first word are
 * the number of its route and lle.
 */
#define	KDK_FLOWTABLE_ROUTES	8
#define	KDK_FLOWTABLE_ROUTE_SHIFT 28

struct kdk_flow_key {
	uint32_t	words[4];
	u_int		count;		/* 1 for IPv4, 4 for IPv6 */
};

/* Flows that a test can use at one time. */
#define	KDK_FLOWTABLE_USED	64

/* Defects of a route. */
#define	KDK_ROUTE_MISSING	0x01	/* the look-up finds no route */
#define	KDK_ROUTE_DOWN		0x02	/* a host route that is not up */
#define	KDK_ROUTE_NO_IFP	0x04	/* its interface has detached */
#define	KDK_ROUTE_LINK_DOWN	0x08	/* its interface's link is down */
#define	KDK_ROUTE_LOOPBACK	0x10	/* its interface is a loopback */
#define	KDK_ROUTE_NO_LLE	0x20	/* the look-up finds no lle */
#define	KDK_ROUTE_LLE_INVALID	0x40	/* its lle is not resolved */

/* The steps of an insertion after which a test can flush the route. */
#define	KDK_FLOWTABLE_AFTER_ROUTE 0	/* the look-up of the route */
#define	KDK_FLOWTABLE_AFTER_LLE 1	/* the look-up of the lle */
#define	KDK_FLOWTABLE_AFTER_ENTRY 2	/* the allocation of the flow */

/* The result of a look-up. */
struct kdk_flow {
	uint32_t	key[4];
	int		route;		/* number, or -1 if it is unknown */
	int		lle;		/* likewise */
};

/* The cost of a walk over the buckets of a CPU. */
struct kdk_flow_walk {
	uint64_t	ticks;		/* of the TSC */
	uint64_t	visits;
	uint64_t	mask_bytes;	/* bytes of the mask that were read */
};

struct kdk_flowtable_counts {
	/* The fields of struct flowtable_stat, of both families. */
	uint64_t	collisions;
	uint64_t	misses;
	uint64_t	free_checks;
	uint64_t	frees;
	uint64_t	hits;
	uint64_t	lookups;
	uint64_t	fail_lle_invalid;
	uint64_t	inserts;
	/* Bytes of masks that walks have read.  Walks must not overlap. */
	uint64_t	mask_bytes;
	/* Flows that are allocated. */
	uint64_t	flows;
	/* Flows that were freed while a test used them. */
	uint64_t	freed_in_use;
};

/*
 * There is one table of each family at a time.  Many threads may call these
 * functions at once.  The functions may sleep.  They return an errno value or
 * 0: ENXIO if there is no table, and EINVAL for a CPU, bucket or route that the
 * table does not have.  Masks have one bit for each bucket, the first bucket
 * lowest.  A family is AF_INET or AF_INET6; the size is that of both tables.
 */
int	 kdk_flowtable_open(u_int size, uint64_t cpus);
void	 kdk_flowtable_close(void);
int	 kdk_flowtable_set_clock(uint32_t uptime);
int	 kdk_flowtable_set_fib(u_int fib);	/* of packets */
int	 kdk_flowtable_set_route(u_int route, u_int wrong);
int	 kdk_flowtable_references(u_int route, int *rt, int *lle);
int	 kdk_flowtable_counts(struct kdk_flowtable_counts *counts);

/* These return ENOENT if there is no flow; 'flow' may be NULL. */
int	 kdk_flowtable_lookup(int cpu, const struct kdk_flow_key *key,
	    struct kdk_flow *flow);
int	 kdk_flowtable_insert(int cpu, const struct kdk_flow_key *key,
	    struct kdk_flow *flow);
/* Looks up a flow, and flushes its route before it is inserted. */
int	 kdk_flowtable_lookup_flush(int cpu, const struct kdk_flow_key *key,
	    u_int after);
/*
 * Looks up a flow on one thread, and flushes its route on another one.  The flow
 * is inserted when the flush has visited its CPU, and before the flush ends.
 * Once per table.
 */
int	 kdk_flowtable_lookup_beside(int cpu, const struct kdk_flow_key *key);
int	 kdk_flowtable_flush_beside(int family, u_int route);

/*
 * Looks up a flow, and uses it as ip_output() does: the test has no reference.
 * kdk_flowtable_in_use() returns ENOENT if the flow was freed meanwhile.
 */
int	 kdk_flowtable_use(int cpu, const struct kdk_flow_key *key, u_int *slot);
int	 kdk_flowtable_in_use(u_int slot, struct kdk_flow *flow);
int	 kdk_flowtable_done(u_int slot);

int	 kdk_flowtable_expire(int family, int maxidle);
int	 kdk_flowtable_flush(int family, u_int route);
/* Walks over the buckets of a CPU as the cleaner does, with no flow to free. */
int	 kdk_flowtable_walk(int cpu, struct kdk_flow_walk *walk);

int	 kdk_flowtable_has(int cpu, const struct kdk_flow_key *key);
int	 kdk_flowtable_used(int family, int cpu, uint32_t *words,
	    size_t count);
int	 kdk_flowtable_mask(int family, int cpu, uint32_t *words,
	    size_t count);
/* Replaces the mask of the table for IPv4. */
int	 kdk_flowtable_set_mask(int cpu, const uint32_t *words, size_t count);
/* Returns ENOENT if the table for IPv4 has no mask for the CPU. */
int	 kdk_flowtable_has_mask(int cpu);

/*
 * Allocates zeroed per-CPU memory as on a machine whose CPU ids have gaps, which
 * has fewer CPUs than ids.  Returns the ids whose memory is not zero.
 */
uint64_t kdk_pcpu_unzeroed(void);

/* The output of ddb's command, and the mask and lists that it finds. */
int	 kdk_flowtable_show(char *text, size_t size, size_t *length);
int	 kdk_flowtable_ddb_mask(int cpu);
int	 kdk_flowtable_ddb_list(int cpu, uint32_t bucket);
#endif

#endif /* !_KDK_FLOWTABLE_H_ */
