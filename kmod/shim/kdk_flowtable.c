/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See kdk_flowtable.h.
 */
#include "kpi.h"

#ifdef KDK_HAVE_FLOWTABLE
/* These are the includes of flowtable.c, ahead of the redefinitions below. */
#include "opt_route.h"
#include "opt_mpath.h"
#include "opt_ddb.h"
#include "opt_inet.h"
#include "opt_inet6.h"

#include <sys/types.h>
#include <sys/bitstring.h>
#include <sys/condvar.h>
#include <sys/counter.h>
#include <sys/endian.h>
#include <sys/eventhandler.h>
#include <sys/hash.h>
#include <sys/limits.h>
#include <sys/queue.h>
#include <sys/rwlock.h>
#include <sys/sbuf.h>
#include <sys/sched.h>
#include <sys/socket.h>
#include <sys/sx.h>
#include <sys/syslog.h>

#include <net/if.h>
#include <net/if_llatbl.h>
#include <net/if_var.h>
#include <net/route.h>
#include <net/flowtable.h>
#include <net/vnet.h>

#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/in_var.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include <ddb/ddb.h>

#include <machine/stdarg.h>

static struct sx kdk_flowtable_sx;
SX_SYSINIT(kdk_flowtable, &kdk_flowtable_sx, "kdk flowtable");

static int	kdk_flowtable_is_open;

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
	KDK_MEET_NOBODY,
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

#include <net/flowtable.c>

/*
 * The functions below use the kernel itself again.
 */
#undef	malloc
#undef	uma_zalloc
#undef	uma_zfree
#undef	mp_ncpus
#undef	CPU_FOREACH
#undef	time_uptime

/* Users take this lock shared; closing the table takes it exclusively. */
static int
kdk_enter(void)
{

	sx_slock(&kdk_flowtable_sx);
	if (kdk_flowtable_is_open)
		return (0);
	sx_sunlock(&kdk_flowtable_sx);
	return (ENXIO);
}

static int
kdk_leave(int error)
{

	sx_sunlock(&kdk_flowtable_sx);
	return (error);
}

static struct flowtable *
kdk_table(int family)
{

	switch (family) {
	case AF_INET:
		return (&ip4_ft);
#ifdef INET6
	case AF_INET6:
		return (&ip6_ft);
#endif
	default:
		return (NULL);
	}
}

static struct flowtable *
kdk_table_of(const struct kdk_flow_key *key)
{

	switch (key->count) {
	case 1:
		return (kdk_table(AF_INET));
	case nitems(key->words):
		return (kdk_table(AF_INET6));
	default:
		return (NULL);
	}
}

/* This does not use the functions of ddb's command, which are under test. */
static bitstr_t *
kdk_mask(const struct flowtable *ft, int cpu)
{

	return (*(bitstr_t **)zpcpu_get_cpu(ft->ft_masks, cpu));
}

static struct flist *
kdk_list(const struct flowtable *ft, uint32_t bucket, int cpu)
{

	return (zpcpu_get_cpu(ft->ft_table[bucket], cpu));
}

static void
kdk_routes_init(void)
{
	struct kdk_route *route;

	bzero(kdk_routes, sizeof(kdk_routes));
	for (int i = 0; i < KDK_FLOWTABLE_ROUTES; i++) {
		route = &kdk_routes[i];
		RT_LOCK_INIT(&route->rt);
		route->rt.rt_refcnt = 1;
		LLE_LOCK_INIT(&route->lle);
		route->lle.lle_refcnt = 1;
		route->lle.lle_free = kdk_lle_free;
	}
}

static void
kdk_routes_destroy(void)
{

	for (int i = 0; i < KDK_FLOWTABLE_ROUTES; i++) {
		RT_LOCK_DESTROY(&kdk_routes[i].rt);
		LLE_LOCK_DESTROY(&kdk_routes[i].lle);
	}
}

static void
kdk_route_apply(struct kdk_route *route, u_int wrong)
{

	route->wrong = wrong;
	route->rt.rt_flags = (wrong & KDK_ROUTE_DOWN) != 0 ? RTF_HOST : RTF_UP;
	route->rt.rt_ifp = (wrong & KDK_ROUTE_NO_IFP) != 0 ? NULL :
	    &route->ifp;
	route->ifp.if_flags = (wrong & KDK_ROUTE_LOOPBACK) != 0 ?
	    IFF_LOOPBACK : 0;
	route->ifp.if_capabilities = IFCAP_LINKSTATE;
	route->ifp.if_link_state = (wrong & KDK_ROUTE_LINK_DOWN) != 0 ?
	    LINK_STATE_DOWN : LINK_STATE_UP;
	route->lle.la_flags = (wrong & KDK_ROUTE_LLE_INVALID) != 0 ? 0 :
	    LLE_VALID;
}

static void
kdk_table_alloc(struct flowtable *ft, int size, counter_u64_t *stat, int count)
{

	for (int i = 0; i < count; i++)
		stat[i] = counter_u64_alloc(M_WAITOK);
	bzero(ft, sizeof(*ft));
	ft->ft_size = size;
	ft->ft_stat = stat;
	flowtable_alloc(ft);
}

/* The blocks of the table are freed with all others. */
static void
kdk_table_free(struct flowtable *ft)
{

	for (int i = 0; i < ft->ft_size; i++)
		uma_zfree(pcpu_zone_ptr, ft->ft_table[i]);
	uma_zfree(pcpu_zone_ptr, ft->ft_masks);
	for (int i = 0; i < sizeof(struct flowtable_stat) / sizeof(uint64_t);
	    i++)
		counter_u64_free(ft->ft_stat[i]);
}

int
kdk_flowtable_open(u_int size, uint64_t cpus)
{

	if (size < 256 || !powerof2(size) || cpus == 0 ||
	    (cpus & ~kdk_machine_cpus()) != 0)
		return (EINVAL);
	sx_xlock(&kdk_flowtable_sx);
	if (kdk_flowtable_is_open) {
		sx_xunlock(&kdk_flowtable_sx);
		return (EBUSY);
	}
	kdk_cpus = cpus;
	kdk_clock = 1000;
	kdk_fib = 0;
	kdk_meet = KDK_MEET_NOBODY;
	kdk_mask_bytes = 0;
	kdk_routes_init();
	for (int i = 0; i < KDK_FLOWTABLE_ROUTES; i++)
		kdk_route_apply(&kdk_routes[i], 0);
	kdk_freed_in_use = 0;
	kdk_flow_size = sizeof(struct flentry);
	mtx_init(&kdk_entries_mtx, "kdk flows", NULL, MTX_DEF);
	/* flowtable_init() is not called. */
	mtx_init(&flowclean_lock, "flowclean lock", NULL, MTX_DEF);
	flow_zone = uma_zcreate("kdk flows",
	    sizeof(struct kdk_entry) + kdk_flow_size, NULL, NULL, NULL, NULL,
	    64 - 1, UMA_ZONE_MAXBUCKET);
	kdk_table_alloc(&ip4_ft, size, ip4_ftstat, nitems(ip4_ftstat));
#ifdef INET6
	kdk_table_alloc(&ip6_ft, size, ip6_ftstat, nitems(ip6_ftstat));
#endif
	kdk_flowtable_is_open = 1;
	sx_xunlock(&kdk_flowtable_sx);
	return (0);
}

static void
kdk_entries_free(struct kdk_entries *entries)
{
	struct kdk_entry *entry;

	while ((entry = TAILQ_FIRST(entries)) != NULL) {
		TAILQ_REMOVE(entries, entry, link);
		uma_zfree(flow_zone, entry);
	}
}

void
kdk_flowtable_close(void)
{

	sx_xlock(&kdk_flowtable_sx);
	if (!kdk_flowtable_is_open) {
		sx_xunlock(&kdk_flowtable_sx);
		return;
	}
	kdk_flowtable_is_open = 0;
	bzero(__DEVOLATILE(void *, kdk_used), sizeof(kdk_used));
	kdk_entries_free(&kdk_allocated);
	kdk_entries_free(&kdk_freed);
	kdk_allocated_count = kdk_freed_count = 0;
	kdk_table_free(&ip4_ft);
#ifdef INET6
	kdk_table_free(&ip6_ft);
#endif
	while (kdk_block_count > 0)
		free(kdk_blocks[--kdk_block_count], M_KDK);
	uma_zdestroy(flow_zone);
	mtx_destroy(&flowclean_lock);
	mtx_destroy(&kdk_entries_mtx);
	kdk_routes_destroy();
	sx_xunlock(&kdk_flowtable_sx);
}

int
kdk_flowtable_set_clock(uint32_t uptime)
{
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	kdk_clock = uptime;
	return (kdk_leave(0));
}

int
kdk_flowtable_set_fib(u_int fib)
{
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	kdk_fib = fib;
	return (kdk_leave(0));
}

int
kdk_flowtable_set_route(u_int route, u_int wrong)
{
	int error;

	if (route >= KDK_FLOWTABLE_ROUTES)
		return (EINVAL);
	if ((error = kdk_enter()) != 0)
		return (error);
	kdk_route_apply(&kdk_routes[route], wrong);
	return (kdk_leave(0));
}

/* Counts the references of flows, without the one of the test. */
int
kdk_flowtable_references(u_int route, int *rt, int *lle)
{
	int error;

	if (route >= KDK_FLOWTABLE_ROUTES)
		return (EINVAL);
	if ((error = kdk_enter()) != 0)
		return (error);
	*rt = kdk_routes[route].rt.rt_refcnt - 1;
	*lle = kdk_routes[route].lle.lle_refcnt - 1;
	return (kdk_leave(0));
}

static uint64_t
kdk_count(const struct flowtable *ft, size_t offset)
{

	return (counter_u64_fetch(ft->ft_stat[offset / sizeof(uint64_t)]));
}

static uint64_t
kdk_visits(void)
{

	return (kdk_count(&ip4_ft, offsetof(struct flowtable_stat,
	    ft_free_checks)));
}

int
kdk_flowtable_counts(struct kdk_flowtable_counts *counts)
{
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	bzero(counts, sizeof(*counts));
	for (int family = 0; family < AF_MAX; family++) {
		if (kdk_table(family) == NULL)
			continue;
#define	KDK_COUNT(name)							\
		counts->name += kdk_count(kdk_table(family),		\
		    offsetof(struct flowtable_stat, ft_##name))
		KDK_COUNT(collisions);
		KDK_COUNT(misses);
		KDK_COUNT(free_checks);
		KDK_COUNT(frees);
		KDK_COUNT(hits);
		KDK_COUNT(lookups);
		KDK_COUNT(fail_lle_invalid);
		KDK_COUNT(inserts);
#undef KDK_COUNT
	}
	counts->mask_bytes = kdk_mask_bytes;
	counts->flows = kdk_allocated_count;
	counts->freed_in_use = kdk_freed_in_use;
	return (kdk_leave(0));
}

static void
kdk_bind(int cpu)
{

	thread_lock(curthread);
	sched_bind(curthread, cpu);
	thread_unlock(curthread);
}

static void
kdk_unbind(void)
{

	thread_lock(curthread);
	sched_unbind(curthread);
	thread_unlock(curthread);
}

static void
kdk_flow_read(const struct flentry *fle, struct kdk_flow *flow)
{

	bzero(flow, sizeof(*flow));
	bcopy(fle->f_key, flow->key, sizeof(flow->key));
	flow->route = flow->lle = -1;
	for (int i = 0; i < KDK_FLOWTABLE_ROUTES; i++) {
		if (fle->f_rt == &kdk_routes[i].rt)
			flow->route = i;
		if (fle->f_lle == &kdk_routes[i].lle)
			flow->lle = i;
	}
}

/* Enters the table of a key.  The thread is on the CPU until kdk_leave_cpu(). */
static int
kdk_enter_cpu(int cpu, const struct kdk_flow_key *key, struct flowtable **ftp)
{
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	*ftp = kdk_table_of(key);
	if (!kdk_has_cpu(cpu) || *ftp == NULL)
		return (kdk_leave(EINVAL));
	kdk_bind(cpu);
	return (0);
}

static int
kdk_leave_cpu(int error)
{

	kdk_unbind();
	return (kdk_leave(error));
}

static struct flentry *
kdk_look_up(struct flowtable *ft, const struct kdk_flow_key *key)
{
	struct kdk_flow_key copy = *key;

	return (flowtable_lookup_common(ft, copy.words,
	    copy.count * sizeof(copy.words[0]), kdk_fib));
}

/* If the flow is to be read, no other thread may expire it meanwhile. */
int
kdk_flowtable_lookup(int cpu, const struct kdk_flow_key *key,
    struct kdk_flow *flow)
{
	struct flowtable *ft;
	struct flentry *fle;
	int error;

	if ((error = kdk_enter_cpu(cpu, key, &ft)) != 0)
		return (error);
	fle = kdk_look_up(ft, key);
	if (fle != NULL && flow != NULL)
		kdk_flow_read(fle, flow);
	return (kdk_leave_cpu(fle == NULL ? ENOENT : 0));
}

/* Inserts as a thread does whose look-up failed on another CPU. */
int
kdk_flowtable_insert(int cpu, const struct kdk_flow_key *key,
    struct kdk_flow *flow)
{
	struct kdk_flow_key copy = *key;
	struct flowtable *ft;
	struct flentry *fle;
	int error;

	if ((error = kdk_enter_cpu(cpu, key, &ft)) != 0)
		return (error);
	fle = flowtable_insert(ft, copy.words[0], copy.words,
	    copy.count * sizeof(copy.words[0]), kdk_fib);
	if (fle != NULL && flow != NULL)
		kdk_flow_read(fle, flow);
	return (kdk_leave_cpu(fle == NULL ? ENOENT : 0));
}

int
kdk_flowtable_lookup_flush(int cpu, const struct kdk_flow_key *key,
    u_int after)
{
	struct flowtable *ft;
	struct flentry *fle;
	int error;

	if ((error = kdk_enter_cpu(cpu, key, &ft)) != 0)
		return (error);
	kdk_flush_after = after;
	kdk_flusher = curthread;
	fle = kdk_look_up(ft, key);
	kdk_flusher = NULL;
	return (kdk_leave_cpu(fle == NULL ? ENOENT : 0));
}

int
kdk_flowtable_lookup_beside(int cpu, const struct kdk_flow_key *key)
{
	struct flowtable *ft;
	struct flentry *fle;
	int error;

	if ((error = kdk_enter_cpu(cpu, key, &ft)) != 0)
		return (error);
	kdk_meet_cpu = cpu;
	kdk_meet_inserter = curthread;
	fle = kdk_look_up(ft, key);
	kdk_meet = KDK_MEET_INSERTED;
	return (kdk_leave_cpu(fle == NULL ? ENOENT : 0));
}

int
kdk_flowtable_flush_beside(int family, u_int route)
{
	int error;

	if (kdk_table(family) == NULL || route >= KDK_FLOWTABLE_ROUTES)
		return (EINVAL);
	if ((error = kdk_enter()) != 0)
		return (error);
	kdk_meet_wait(KDK_MEET_ROUTE);
	kdk_meet_flusher = curthread;
	flowtable_route_flush(family, &kdk_routes[route].rt);
	if (kdk_meet_flusher == curthread) {
		kdk_meet_flusher = NULL;
		kdk_meet = KDK_MEET_VISITED;
	}
	return (kdk_leave(0));
}

static int
kdk_slot_take(struct kdk_entry *entry, u_int *slot)
{

	for (*slot = 0; *slot < nitems(kdk_used); (*slot)++)
		if (atomic_cmpset_ptr((volatile uintptr_t *)&kdk_used[*slot],
		    (uintptr_t)NULL, (uintptr_t)entry) != 0)
			return (0);
	return (ENOSPC);
}

int
kdk_flowtable_use(int cpu, const struct kdk_flow_key *key, u_int *slot)
{
	struct kdk_entry *entry;
	struct flowtable *ft;
	struct flentry *fle;
	int error;

	if ((error = kdk_enter_cpu(cpu, key, &ft)) != 0)
		return (error);
	fle = kdk_look_up(ft, key);
	if (fle == NULL)
		return (kdk_leave_cpu(ENOENT));
	entry = (struct kdk_entry *)fle - 1;
	atomic_add_int(&entry->users, 1);
	if (entry->freed != 0)
		atomic_add_int(&kdk_freed_in_use, 1);
	error = kdk_slot_take(entry, slot);
	if (error != 0)
		atomic_subtract_int(&entry->users, 1);
	return (kdk_leave_cpu(error));
}

/* Enters the table, and finds the flow of a slot. */
static int
kdk_enter_slot(u_int slot, struct kdk_entry **entry)
{
	int error;

	if (slot >= nitems(kdk_used))
		return (EINVAL);
	if ((error = kdk_enter()) != 0)
		return (error);
	*entry = kdk_used[slot];
	return (*entry == NULL ? kdk_leave(EINVAL) : 0);
}

int
kdk_flowtable_in_use(u_int slot, struct kdk_flow *flow)
{
	struct kdk_entry *entry;
	int error;

	if ((error = kdk_enter_slot(slot, &entry)) != 0)
		return (error);
	kdk_flow_read((struct flentry *)(entry + 1), flow);
	return (kdk_leave(entry->freed != 0 ? ENOENT : 0));
}

int
kdk_flowtable_done(u_int slot)
{
	struct kdk_entry *entry;
	int error;

	if ((error = kdk_enter_slot(slot, &entry)) != 0)
		return (error);
	kdk_used[slot] = NULL;
	atomic_subtract_int(&entry->users, 1);
	return (kdk_leave(0));
}

int
kdk_flowtable_expire(int family, int maxidle)
{
	int error;

	if (kdk_table(family) == NULL)
		return (EINVAL);
	if ((error = kdk_enter()) != 0)
		return (error);
	flowtable_clean_vnet(kdk_table(family), NULL, maxidle);
	return (kdk_leave(0));
}

int
kdk_flowtable_flush(int family, u_int route)
{
	int error;

	if (kdk_table(family) == NULL || route >= KDK_FLOWTABLE_ROUTES)
		return (EINVAL);
	if ((error = kdk_enter()) != 0)
		return (error);
	flowtable_route_flush(family, &kdk_routes[route].rt);
	return (kdk_leave(0));
}

int
kdk_flowtable_walk(int cpu, struct kdk_flow_walk *walk)
{
	uint64_t bytes, visits;
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	if (!kdk_has_cpu(cpu))
		return (kdk_leave(EINVAL));
	kdk_bind(cpu);
	bytes = kdk_mask_bytes;
	visits = kdk_visits();
	walk->ticks = rdtsc();
	flowtable_free_stale(&ip4_ft, NULL, INT_MAX);
	walk->ticks = rdtsc() - walk->ticks;
	walk->visits = kdk_visits() - visits;
	walk->mask_bytes = kdk_mask_bytes - bytes;
	kdk_unbind();
	return (kdk_leave(0));
}

/* Flows that are inserted or freed meanwhile may or may not be counted. */
int
kdk_flowtable_has(int cpu, const struct kdk_flow_key *key)
{
	struct flowtable *ft;
	struct flentry *fle;
	int error;

	if ((error = kdk_enter_cpu(cpu, key, &ft)) != 0)
		return (error);
	error = ENOENT;
	critical_enter();
	SLIST_FOREACH(fle, kdk_list(ft, key->words[0] % ft->ft_size, cpu),
	    f_next)
		if (bcmp(fle->f_key, key->words,
		    key->count * sizeof(key->words[0])) == 0)
			error = 0;
	critical_exit();
	return (kdk_leave_cpu(error));
}

/* Enters a table, and checks that a CPU's mask has 'count' words. */
static int
kdk_enter_bits(const struct flowtable *ft, int cpu, size_t count)
{
	int error;

	if (ft == NULL)
		return (EINVAL);
	if ((error = kdk_enter()) != 0)
		return (error);
	if (!kdk_has_cpu(cpu) || count * 32 != ft->ft_size)
		return (kdk_leave(EINVAL));
	return (0);
}

int
kdk_flowtable_used(int family, int cpu, uint32_t *words, size_t count)
{
	const struct flowtable *ft = kdk_table(family);
	int error;

	if ((error = kdk_enter_bits(ft, cpu, count)) != 0)
		return (error);
	bzero(words, count * sizeof(*words));
	for (int i = 0; i < ft->ft_size; i++)
		if (!SLIST_EMPTY(kdk_list(ft, i, cpu)))
			words[i / 32] |= 1U << (i % 32);
	return (kdk_leave(0));
}

int
kdk_flowtable_mask(int family, int cpu, uint32_t *words, size_t count)
{
	const struct flowtable *ft = kdk_table(family);
	int error;

	if ((error = kdk_enter_bits(ft, cpu, count)) != 0)
		return (error);
	bcopy(kdk_mask(ft, cpu), words, count * sizeof(*words));
	return (kdk_leave(0));
}

int
kdk_flowtable_set_mask(int cpu, const uint32_t *words, size_t count)
{
	int error;

	if ((error = kdk_enter_bits(&ip4_ft, cpu, count)) != 0)
		return (error);
	bcopy(words, kdk_mask(&ip4_ft, cpu), count * sizeof(*words));
	return (kdk_leave(0));
}

int
kdk_flowtable_has_mask(int cpu)
{
	int error, i;

	if ((error = kdk_enter()) != 0)
		return (error);
	if (!kdk_has_cpu(cpu))
		return (kdk_leave(EINVAL));
	for (i = 0; i < kdk_block_count; i++)
		if (kdk_mask(&ip4_ft, cpu) == kdk_blocks[i])
			break;
	return (kdk_leave(i < kdk_block_count ? 0 : ENOENT));
}

uint64_t
kdk_pcpu_unzeroed(void)
{
	uma_zone_t zone;
	uint64_t unzeroed;
	void *item;
	int count;

	zone = uma_zcreate("kdk pcpu", sizeof(void *), NULL, NULL, NULL, NULL,
	    UMA_ALIGN_PTR, UMA_ZONE_PCPU);
	item = uma_zalloc(zone, M_WAITOK);
	for (int cpu = 0; cpu <= mp_maxid; cpu++)
		*(uintptr_t *)zpcpu_get_cpu(item, cpu) = -1;
	uma_zfree(zone, item);
	/* No other CPU comes or goes meanwhile. */
	count = mp_ncpus;
	mp_ncpus = 1;
	item = uma_zalloc(zone, M_WAITOK | M_ZERO);
	mp_ncpus = count;
	unzeroed = 0;
	for (int cpu = 0; cpu <= mp_maxid; cpu++)
		if (*(uintptr_t *)zpcpu_get_cpu(item, cpu) != 0)
			unzeroed |= 1ULL << cpu;
	uma_zfree(zone, item);
	uma_zdestroy(zone);
	return (unzeroed);
}

int
kdk_flowtable_show(char *text, size_t size, size_t *length)
{
	int error;

	if (size == 0)
		return (EINVAL);
	sx_xlock(&kdk_flowtable_sx);
	if (kdk_flowtable_is_open) {
		kdk_shown = text;
		kdk_shown_size = size;
		kdk_shown_length = 0;
		db_show_flowtables();
		*length = kdk_shown_length;
		error = *length < size ? 0 : ENOSPC;
	} else
		error = ENXIO;
	sx_xunlock(&kdk_flowtable_sx);
	return (error);
}

int
kdk_flowtable_ddb_mask(int cpu)
{
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	if (!kdk_has_cpu(cpu))
		return (kdk_leave(EINVAL));
	return (kdk_leave(flowtable_mask_pcpu(&ip4_ft, cpu) ==
	    kdk_mask(&ip4_ft, cpu) ? 0 : ENOENT));
}

int
kdk_flowtable_ddb_list(int cpu, uint32_t bucket)
{
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	if (!kdk_has_cpu(cpu) || bucket >= ip4_ft.ft_size)
		return (kdk_leave(EINVAL));
	return (kdk_leave(flowtable_list_pcpu(&ip4_ft, bucket, cpu) ==
	    kdk_list(&ip4_ft, bucket, cpu) ? 0 : ENOENT));
}
#endif
