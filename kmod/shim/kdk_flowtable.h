/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The flowtable of the tree under test (net/flowtable.c), with routes, lles,
 * CPUs, hash and clock that are the test's.  Trees without that file have
 * nothing of this, nor have their bindings, which is how build.rs finds out.
 *
 * The file is compiled into the module, instead of the kernel's own functions
 * being called: those are static, know one table, which the machine's traffic
 * uses, and take their routes from there.  This way a table may have any size
 * and the series needs no hook that only a test would use.
 */
#ifndef _KDK_FLOWTABLE_H_
#define	_KDK_FLOWTABLE_H_

#if __has_include(<net/flowtable.c>)
#define	KDK_HAVE_FLOWTABLE

/*
 * A key is an IPv4 address, and its own hash: its bucket is the key modulo the
 * size of the table.  The top bits say which route it has, and which lle.
 */
#define	KDK_FLOWTABLE_ROUTES	8
#define	KDK_FLOWTABLE_ROUTE_SHIFT 28

/* What is wrong with a route. */
#define	KDK_ROUTE_MISSING	0x01	/* it is not found */
#define	KDK_ROUTE_DOWN		0x02	/* a host route that is not up */
#define	KDK_ROUTE_NO_IFP	0x04	/* its interface has gone */
#define	KDK_ROUTE_LINK_DOWN	0x08	/* its interface's link is down */
#define	KDK_ROUTE_LOOPBACK	0x10	/* its interface is a loopback */
#define	KDK_ROUTE_NO_LLE	0x20	/* no lle is found */
#define	KDK_ROUTE_LLE_INVALID	0x40	/* its lle is not resolved */

/* What a look-up found. */
struct kdk_flow {
	uint32_t	key;
	int		route;		/* its number, or -1 for another one */
	int		lle;		/* likewise */
};

/* What a walk over a CPU's buckets took. */
struct kdk_flow_walk {
	uint64_t	ticks;		/* of the CPU's counter */
	uint64_t	visits;
	uint64_t	mask_bytes;	/* that were read */
};

struct kdk_flowtable_counts {
	/* Of struct flowtable_stat. */
	uint64_t	collisions;
	uint64_t	misses;
	uint64_t	free_checks;
	uint64_t	frees;
	uint64_t	hits;
	uint64_t	lookups;
	uint64_t	fail_lle_invalid;
	uint64_t	inserts;
	/* Bytes of masks that walks have read, one walk at a time. */
	uint64_t	mask_bytes;
	/* In the zone. */
	uint64_t	flows;
};

/*
 * There is one table at a time.  All of these may be called by many threads at
 * once, may sleep, and return an errno value or 0: ENXIO without a table,
 * EINVAL for a CPU, bucket or route that it has not.  The masks and bits that
 * go in and out have a bit for each bucket, the first one lowest.
 */
int	 kdk_flowtable_open(u_int size, uint64_t cpus);
void	 kdk_flowtable_close(void);
int	 kdk_flowtable_set_clock(uint32_t uptime);
int	 kdk_flowtable_set_route(u_int route, u_int wrong);
int	 kdk_flowtable_references(u_int route, int *rt, int *lle);
int	 kdk_flowtable_counts(struct kdk_flowtable_counts *counts);

/* On that CPU; ENOENT when there is no flow.  NULL: do not tell it. */
int	 kdk_flowtable_lookup(int cpu, uint32_t key, struct kdk_flow *flow);
int	 kdk_flowtable_insert(int cpu, uint32_t key, struct kdk_flow *flow);

int	 kdk_flowtable_expire(int maxidle);
int	 kdk_flowtable_flush(u_int route);
/* What expires flows does its work on that CPU, with nothing to expire. */
int	 kdk_flowtable_walk(int cpu, struct kdk_flow_walk *walk);

int	 kdk_flowtable_has(int cpu, uint32_t key);
int	 kdk_flowtable_used(int cpu, uint32_t *words, size_t count);
int	 kdk_flowtable_mask(int cpu, uint32_t *words, size_t count);
int	 kdk_flowtable_set_mask(int cpu, const uint32_t *words, size_t count);
/* Whether the table has allocated a mask for it. */
int	 kdk_flowtable_has_mask(int cpu);

/* What ddb's command writes, and what it takes for a CPU's mask and list. */
int	 kdk_flowtable_show(char *text, size_t size, size_t *length);
int	 kdk_flowtable_ddb_mask(int cpu);
int	 kdk_flowtable_ddb_list(int cpu, uint32_t bucket);
#endif

#endif /* !_KDK_FLOWTABLE_H_ */
