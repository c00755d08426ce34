/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What net/flowtable.c uses instead of the kernel's functions: routes, lles,
 * memory, the clock, the set of CPUs and the output of ddb.  kdk_flowtable.c
 * includes this file immediately before the tree's file.
 */
#ifndef _KDK_FLOWTABLE_ENV_H_
#define	_KDK_FLOWTABLE_ENV_H_

/*
 * The environment that the test supplies.
 */
struct kdk_route {
	struct rtentry	rt;
	struct llentry	lle;
	struct ifnet	ifp;
	u_int		wrong;
};

/*
 * The header of a flow.  Its last KDK_FREED flows are kept after they were
 * freed, so that a user of a freed flow finds out.
 */
#define	KDK_FREED	1024

struct kdk_entry {
	TAILQ_ENTRY(kdk_entry) link;
	volatile u_int	users;
	volatile u_int	freed;
};
TAILQ_HEAD(kdk_entries, kdk_entry);

static struct kdk_route	kdk_routes[KDK_FLOWTABLE_ROUTES];
static volatile time_t	kdk_clock;
static u_int		kdk_fib;	/* of packets */
static uint64_t		kdk_cpus;	/* CPUs of the table */
static uint64_t		kdk_mask_bytes;
static void		*kdk_blocks[2 * (MAXCPU + 2)];	/* allocations of the table */
static u_int		kdk_block_count;
static struct mtx	kdk_entries_mtx;
static struct kdk_entries kdk_allocated = TAILQ_HEAD_INITIALIZER(kdk_allocated);
static struct kdk_entries kdk_freed = TAILQ_HEAD_INITIALIZER(kdk_freed);
static u_int		kdk_allocated_count;
static size_t		kdk_flow_size;
static u_int		kdk_freed_count;
static volatile u_int	kdk_freed_in_use;
static struct kdk_entry	*volatile kdk_used[KDK_FLOWTABLE_USED];
static struct thread	*volatile kdk_flusher;	/* flushes before it inserts */
static volatile u_int	kdk_flush_after;
static struct kdk_route	*volatile kdk_flush_route;
static sa_family_t	kdk_flush_family;
/* A flush that begins and ends while a flow is inserted on kdk_meet_cpu. */
static volatile enum {
	KDK_MEET_NONE,
	KDK_MEET_ROUTE,		/* the insertion has looked up its route */
	KDK_MEET_VISITED,	/* the flush has visited the CPU */
	KDK_MEET_INSERTED	/* the insertion has ended */
} kdk_meet;
static struct thread	*volatile kdk_meet_inserter;
static struct thread	*volatile kdk_meet_flusher;
static volatile int	kdk_meet_cpu;
static char		*kdk_shown;	/* output of ddb's command */
static size_t		kdk_shown_size;
static size_t		kdk_shown_length;

/* The function under test, by the name that it gets below. */
void kdk_tree_route_flush(sa_family_t family, struct rtentry *rt);
static void kdk_bind(int cpu);

static struct kdk_route *
kdk_route_of(const void *address)
{
	const struct sockaddr_in6 *sin6 = address;
	const struct sockaddr_in *sin = address;
	uint32_t word;

	word = sin->sin_family == AF_INET ? sin->sin_addr.s_addr :
	    sin6->sin6_addr.s6_addr32[0];
	return (&kdk_routes[(word >> KDK_FLOWTABLE_ROUTE_SHIFT) %
	    KDK_FLOWTABLE_ROUTES]);
}

static void
kdk_meet_wait(u_int state)
{

	while (kdk_meet < state)
		pause("kdkmeet", 1);
}

/* A flush binds the thread to each CPU. */
static void
kdk_flush_if_after(u_int step)
{
	int cpu;

	if (kdk_flusher != curthread || kdk_flush_after != step)
		return;
	kdk_flusher = NULL;
	cpu = curcpu;
	kdk_tree_route_flush(kdk_flush_family, &kdk_flush_route->rt);
	kdk_bind(cpu);
}

static void
kdk_rtalloc(struct route *ro, u_long ignore __unused, u_int fib __unused)
{
	struct kdk_route *route;

	route = kdk_route_of(&ro->ro_dst);
	if ((route->wrong & (KDK_ROUTE_MISSING | KDK_ROUTE_DOWN)) != 0)
		return;
	RT_LOCK(&route->rt);
	RT_ADDREF(&route->rt);
	RT_UNLOCK(&route->rt);
	ro->ro_rt = &route->rt;
	if (kdk_flusher == curthread) {
		kdk_flush_family = ro->ro_dst.sa_family;
		kdk_flush_route = route;
	}
	kdk_flush_if_after(KDK_FLOWTABLE_AFTER_ROUTE);
	if (kdk_meet_inserter == curthread) {
		kdk_meet_inserter = NULL;
		kdk_meet = KDK_MEET_ROUTE;
		kdk_meet_wait(KDK_MEET_VISITED);
	}
}

static struct llentry *
kdk_llentry_alloc(struct ifnet *ifp __unused, struct lltable *lt __unused,
    struct sockaddr_storage *address)
{
	struct kdk_route *route;

	route = kdk_route_of(address);
	if ((route->wrong & KDK_ROUTE_NO_LLE) != 0)
		return (NULL);
	LLE_WLOCK(&route->lle);
	LLE_ADDREF(&route->lle);
	LLE_WUNLOCK(&route->lle);
	kdk_flush_if_after(KDK_FLOWTABLE_AFTER_LLE);
	return (&route->lle);
}

/* The test has a reference to each lle, so this is never the last one. */
static void
kdk_lle_free(struct lltable *lt __unused, struct llentry *lle)
{

	panic("kdk: lle %p: reference count underflow", lle);
}

static int
kdk_has_cpu(int cpu)
{

	return (cpu >= 0 && cpu <= mp_maxid && !CPU_ABSENT(cpu) &&
	    (kdk_cpus & (1ULL << cpu)) != 0);
}

/* Makes a flush wait after its visit of kdk_meet_cpu. */
static int
kdk_visits_cpu(int cpu)
{

	if (kdk_meet_flusher == curthread && cpu > kdk_meet_cpu) {
		kdk_meet_flusher = NULL;
		kdk_meet = KDK_MEET_VISITED;
		kdk_meet_wait(KDK_MEET_INSERTED);
	}
	return (kdk_has_cpu(cpu));
}

static u_int
kdk_cpu_count(void)
{

	return (__builtin_popcountll(kdk_cpus));
}

/* The flowtable has no function that frees a table. */
static void *
kdk_block_alloc(size_t size, int flags)
{
	void *block;

	KASSERT(kdk_block_count < nitems(kdk_blocks),
	    ("kdk: the flowtable allocates more than is kept track of"));
	block = malloc(size, M_KDK, flags);
	kdk_blocks[kdk_block_count++] = block;
	return (block);
}

static void *
kdk_flow_alloc(uma_zone_t zone, int flags)
{
	struct kdk_entry *entry;

	entry = uma_zalloc(zone, flags);
	if (entry == NULL)
		return (NULL);
	mtx_lock(&kdk_entries_mtx);
	TAILQ_INSERT_TAIL(&kdk_allocated, entry, link);
	kdk_allocated_count++;
	mtx_unlock(&kdk_entries_mtx);
	kdk_flush_if_after(KDK_FLOWTABLE_AFTER_ENTRY);
	return (entry + 1);
}

/*
 * Frees a flow, whose pointers become invalid.  It marks the flow before it
 * looks for users; these add themselves before they look for the mark.
 */
static void
kdk_flow_free(uma_zone_t zone, void *item)
{
	struct kdk_entry *entry, *oldest;

	entry = (struct kdk_entry *)item - 1;
	if (atomic_cmpset_int(&entry->freed, 0, 1) == 0)
		panic("kdk: flow %p was freed twice", item);
	if (entry->users != 0)
		atomic_add_int(&kdk_freed_in_use, 1);
	memset(item, 0xdd, kdk_flow_size);
	mtx_lock(&kdk_entries_mtx);
	TAILQ_REMOVE(&kdk_allocated, entry, link);
	kdk_allocated_count--;
	TAILQ_INSERT_TAIL(&kdk_freed, entry, link);
	kdk_freed_count++;
	if (kdk_freed_count > KDK_FREED &&
	    (oldest = TAILQ_FIRST(&kdk_freed))->users == 0) {
		TAILQ_REMOVE(&kdk_freed, oldest, link);
		kdk_freed_count--;
	} else
		oldest = NULL;
	mtx_unlock(&kdk_entries_mtx);
	if (oldest != NULL)
		uma_zfree(zone, oldest);
}

/* Per-CPU memory without M_ZERO is filled with an invalid pointer. */
static void *
kdk_item_alloc(uma_zone_t zone, int flags)
{
	void *item;

	if (zone != pcpu_zone_ptr)
		return (kdk_flow_alloc(zone, flags));
	item = uma_zalloc(zone, flags);
	if ((flags & M_ZERO) == 0)
		for (int cpu = 0; cpu <= mp_maxid; cpu++)
			if (!CPU_ABSENT(cpu))
				*(void **)zpcpu_get_cpu(item, cpu) = NULL;
	return (item);
}

static uint32_t
kdk_mask_word(uint32_t word)
{

	kdk_mask_bytes += sizeof(word);
	return (le32toh(word));
}

static void
kdk_mask_ffs(bitstr_t *mask, int bits, int *value)
{

	bit_ffs(mask, bits, value);
	if (bits > 0)
		kdk_mask_bytes += (*value < 0 ? bits - 1 : *value) / 8 + 1;
}

static int
kdk_shown_printf(const char *format, ...)
{
	va_list ap;
	int length;

	va_start(ap, format);
	length = vsnprintf(kdk_shown + kdk_shown_length,
	    kdk_shown_size - kdk_shown_length, format, ap);
	va_end(ap);
	kdk_shown_length = MIN(kdk_shown_length + length, kdk_shown_size);
	return (length);
}

/*
 * Redirect the flowtable to this environment.
 */
#define	rtalloc_ign_fib		kdk_rtalloc
#define	rtalloc_mpath_fib(ro, hash, fib) kdk_rtalloc(ro, 0, fib)
#define	llentry_alloc		kdk_llentry_alloc
#undef	LLTABLE
#define	LLTABLE(ifp)		NULL
#undef	LLTABLE6
#define	LLTABLE6(ifp)		NULL
#define	time_uptime		kdk_clock
#define	jenkins_hash32(key, words, seed) (*(key))
#define	mp_ncpus		kdk_cpu_count()
#undef	CPU_FOREACH
#define	CPU_FOREACH(i)							\
	for ((i) = 0; (i) <= mp_maxid; (i)++)				\
		if (kdk_visits_cpu(i))
#define	malloc(size, type, flags) kdk_block_alloc(size, flags)
#define	uma_zalloc		kdk_item_alloc
#define	uma_zfree		kdk_flow_free
#undef	le32toh
#define	le32toh			kdk_mask_word
#undef	bit_ffs
#define	bit_ffs			kdk_mask_ffs
#define	db_printf		kdk_shown_printf

/*
 * The table is not registered anywhere.
 */
static int kdk_nothing(void);
#define	KDK_NOTHING		int kdk_nothing(void)
#undef	SYSINIT
#define	SYSINIT(...)		KDK_NOTHING
#undef	VNET_SYSINIT
#define	VNET_SYSINIT(...)	KDK_NOTHING
#undef	SYSCTL_NODE
#define	SYSCTL_NODE(...)	KDK_NOTHING
#undef	SYSCTL_VNET_INT
#define	SYSCTL_VNET_INT(...)	KDK_NOTHING
#undef	SYSCTL_UMA_MAX
#define	SYSCTL_UMA_MAX(...)	KDK_NOTHING
#undef	SYSCTL_VNET_PCPUSTAT
#define	SYSCTL_VNET_PCPUSTAT(...) KDK_NOTHING
#undef	VNET_PCPUSTAT_SYSINIT
#define	VNET_PCPUSTAT_SYSINIT(...) KDK_NOTHING
#undef	VNET_PCPUSTAT_SYSUNINIT
#define	VNET_PCPUSTAT_SYSUNINIT(...) KDK_NOTHING
#undef	VNET_PCPUSTAT_DEFINE
#define	VNET_PCPUSTAT_DEFINE(type, name)				\
	counter_u64_t name[sizeof(type) / sizeof(uint64_t)]
#undef	MALLOC_DEFINE
#define	MALLOC_DEFINE(...)	KDK_NOTHING
#undef	VNET_DEFINE
#define	VNET_DEFINE(type, name)	type name
#undef	VNET
#define	VNET(name)		name
#undef	VNET_FOREACH
#define	VNET_FOREACH(vnet)						\
	for ((vnet) = vnet0; (vnet) != NULL; (vnet) = NULL)
#undef	DB_SHOW_COMMAND
#define	DB_SHOW_COMMAND(name, function)	static void function(void)
#define	flowtable_lookup	kdk_tree_lookup
#define	flowtable_route_flush	kdk_tree_route_flush

#endif /* !_KDK_FLOWTABLE_ENV_H_ */
