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

#include "kdk_flowtable_env.h"
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
	kdk_meet = KDK_MEET_NONE;
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
