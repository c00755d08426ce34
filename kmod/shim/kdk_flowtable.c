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

static struct kdk_route	kdk_routes[KDK_FLOWTABLE_ROUTES];
static volatile time_t	kdk_clock;
static uint64_t		kdk_cpus;	/* CPUs of the table */
static uint64_t		kdk_mask_bytes;
static void		*kdk_blocks[2 * (MAXCPU + 2)];	/* allocations of the table */
static u_int		kdk_block_count;
static char		*kdk_shown;	/* output of ddb's command */
static size_t		kdk_shown_size;
static size_t		kdk_shown_length;

static struct kdk_route *
kdk_route_of(const void *address)
{
	const struct sockaddr_in *sin = address;

	return (&kdk_routes[(sin->sin_addr.s_addr >>
	    KDK_FLOWTABLE_ROUTE_SHIFT) % KDK_FLOWTABLE_ROUTES]);
}

static void
kdk_rtalloc(struct route *ro, u_long ignore __unused, u_int fib __unused)
{
	struct kdk_route *route;

	route = kdk_route_of(&ro->ro_dst);
	if ((route->wrong & KDK_ROUTE_MISSING) != 0)
		return;
	RT_LOCK(&route->rt);
	RT_ADDREF(&route->rt);
	RT_UNLOCK(&route->rt);
	ro->ro_rt = &route->rt;
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

/* Memory without M_ZERO is filled with an invalid pointer. */
static void *
kdk_item_alloc(uma_zone_t zone, int flags)
{
	void *item;

	item = uma_zalloc(zone, flags);
	if (zone == pcpu_zone_ptr && (flags & M_ZERO) == 0)
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
		if (kdk_has_cpu(i))
#define	malloc(size, type, flags) kdk_block_alloc(size, flags)
#define	uma_zalloc		kdk_item_alloc
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

/* This does not use the functions of ddb's command, which are under test. */
static bitstr_t *
kdk_mask(int cpu)
{

	return (*(bitstr_t **)zpcpu_get_cpu(ip4_ft.ft_masks, cpu));
}

static struct flist *
kdk_list(uint32_t bucket, int cpu)
{

	return (zpcpu_get_cpu(ip4_ft.ft_table[bucket], cpu));
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
kdk_table_alloc(struct flowtable *ft, int size)
{

	bzero(ft, sizeof(*ft));
	ft->ft_size = size;
	flowtable_alloc(ft);
}

/* The blocks of the table are freed with all others. */
static void
kdk_table_free(struct flowtable *ft)
{

	for (int i = 0; i < ft->ft_size; i++)
		uma_zfree(pcpu_zone_ptr, ft->ft_table[i]);
	uma_zfree(pcpu_zone_ptr, ft->ft_masks);
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
	kdk_mask_bytes = 0;
	kdk_routes_init();
	for (int i = 0; i < KDK_FLOWTABLE_ROUTES; i++)
		kdk_route_apply(&kdk_routes[i], 0);
	flow_zone = uma_zcreate("kdk flows", sizeof(struct flentry), NULL,
	    NULL, NULL, NULL, 64 - 1, UMA_ZONE_MAXBUCKET);
	for (int i = 0; i < nitems(ip4_ftstat); i++)
		ip4_ftstat[i] = counter_u64_alloc(M_WAITOK);
	kdk_table_alloc(&ip4_ft, size);
	ip4_ft.ft_stat = ip4_ftstat;
#ifdef INET6
	kdk_table_alloc(&ip6_ft, 256);
#endif
	kdk_flowtable_is_open = 1;
	sx_xunlock(&kdk_flowtable_sx);
	return (0);
}

static void
kdk_flows_free(int cpu)
{
	struct flentry *fle;
	struct flist *flist;

	for (int i = 0; i < ip4_ft.ft_size; i++) {
		flist = kdk_list(i, cpu);
		while ((fle = SLIST_FIRST(flist)) != NULL) {
			SLIST_REMOVE_HEAD(flist, f_next);
			uma_zfree(flow_zone, fle);
		}
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
	for (int cpu = 0; cpu <= mp_maxid; cpu++)
		if (kdk_has_cpu(cpu))
			kdk_flows_free(cpu);
	kdk_table_free(&ip4_ft);
#ifdef INET6
	kdk_table_free(&ip6_ft);
#endif
	while (kdk_block_count > 0)
		free(kdk_blocks[--kdk_block_count], M_KDK);
	for (int i = 0; i < nitems(ip4_ftstat); i++)
		counter_u64_free(ip4_ftstat[i]);
	uma_zdestroy(flow_zone);
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
kdk_visits(void)
{

	return (counter_u64_fetch(ip4_ftstat[
	    offsetof(struct flowtable_stat, ft_free_checks) /
	    sizeof(uint64_t)]));
}

int
kdk_flowtable_counts(struct kdk_flowtable_counts *counts)
{
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
#define	KDK_COUNT(name)							\
	counts->name = counter_u64_fetch(ip4_ftstat[			\
	    offsetof(struct flowtable_stat, ft_##name) / sizeof(uint64_t)])
	KDK_COUNT(collisions);
	KDK_COUNT(misses);
	KDK_COUNT(free_checks);
	KDK_COUNT(frees);
	KDK_COUNT(hits);
	KDK_COUNT(lookups);
	KDK_COUNT(fail_lle_invalid);
	KDK_COUNT(inserts);
#undef KDK_COUNT
	counts->mask_bytes = kdk_mask_bytes;
	counts->flows = uma_zone_get_cur(flow_zone);
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

	flow->key = fle->f_key[0];
	flow->route = flow->lle = -1;
	for (int i = 0; i < KDK_FLOWTABLE_ROUTES; i++) {
		if (fle->f_rt == &kdk_routes[i].rt)
			flow->route = i;
		if (fle->f_lle == &kdk_routes[i].lle)
			flow->lle = i;
	}
}

/* If the flow is to be read, no other thread may expire it meanwhile. */
static int
kdk_flow_get(int cpu, uint32_t key, struct kdk_flow *flow, int insert)
{
	struct flentry *fle;
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	if (!kdk_has_cpu(cpu))
		return (kdk_leave(EINVAL));
	kdk_bind(cpu);
	if (insert)
		fle = flowtable_insert(&ip4_ft, key, &key, sizeof(key), 0);
	else
		fle = flowtable_lookup_common(&ip4_ft, &key, sizeof(key), 0);
	if (fle == NULL)
		error = ENOENT;
	else if (flow != NULL)
		kdk_flow_read(fle, flow);
	kdk_unbind();
	return (kdk_leave(error));
}

int
kdk_flowtable_lookup(int cpu, uint32_t key, struct kdk_flow *flow)
{

	return (kdk_flow_get(cpu, key, flow, 0));
}

/* Inserts as a thread does whose look-up failed on another CPU. */
int
kdk_flowtable_insert(int cpu, uint32_t key, struct kdk_flow *flow)
{

	return (kdk_flow_get(cpu, key, flow, 1));
}

int
kdk_flowtable_expire(int maxidle)
{
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	flowtable_clean_vnet(&ip4_ft, NULL, maxidle);
	return (kdk_leave(0));
}

int
kdk_flowtable_flush(u_int route)
{
	int error;

	if (route >= KDK_FLOWTABLE_ROUTES)
		return (EINVAL);
	if ((error = kdk_enter()) != 0)
		return (error);
	flowtable_route_flush(AF_INET, &kdk_routes[route].rt);
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
kdk_flowtable_has(int cpu, uint32_t key)
{
	struct flentry *fle;
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	if (!kdk_has_cpu(cpu))
		return (kdk_leave(EINVAL));
	error = ENOENT;
	kdk_bind(cpu);
	critical_enter();
	SLIST_FOREACH(fle, kdk_list(key % ip4_ft.ft_size, cpu), f_next)
		if (fle->f_key[0] == key)
			error = 0;
	critical_exit();
	kdk_unbind();
	return (kdk_leave(error));
}

/* Enters the table, and checks that a CPU's mask has 'count' words. */
static int
kdk_enter_bits(int cpu, size_t count)
{
	int error;

	if ((error = kdk_enter()) != 0)
		return (error);
	if (!kdk_has_cpu(cpu) || count * 32 != ip4_ft.ft_size)
		return (kdk_leave(EINVAL));
	return (0);
}

int
kdk_flowtable_used(int cpu, uint32_t *words, size_t count)
{
	int error;

	if ((error = kdk_enter_bits(cpu, count)) != 0)
		return (error);
	bzero(words, count * sizeof(*words));
	for (int i = 0; i < ip4_ft.ft_size; i++)
		if (!SLIST_EMPTY(kdk_list(i, cpu)))
			words[i / 32] |= 1U << (i % 32);
	return (kdk_leave(0));
}

int
kdk_flowtable_mask(int cpu, uint32_t *words, size_t count)
{
	int error;

	if ((error = kdk_enter_bits(cpu, count)) != 0)
		return (error);
	bcopy(kdk_mask(cpu), words, count * sizeof(*words));
	return (kdk_leave(0));
}

int
kdk_flowtable_set_mask(int cpu, const uint32_t *words, size_t count)
{
	int error;

	if ((error = kdk_enter_bits(cpu, count)) != 0)
		return (error);
	bcopy(words, kdk_mask(cpu), count * sizeof(*words));
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
		if (kdk_mask(cpu) == kdk_blocks[i])
			break;
	return (kdk_leave(i < kdk_block_count ? 0 : ENOENT));
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
	return (kdk_leave(flowtable_mask_pcpu(&ip4_ft, cpu) == kdk_mask(cpu) ?
	    0 : ENOENT));
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
	    kdk_list(bucket, cpu) ? 0 : ENOENT));
}
#endif
