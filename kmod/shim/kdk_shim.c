/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The C half of kdk.ko: the module's declaration, the cdevsw of /dev/kdk, and
 * functions for the kernel's macros and inline functions.
 */
#include "kpi.h"
#include "kdk_entropy.h"

#include <x86/apicreg.h>

MALLOC_DEFINE(M_KDK, "kdk", "kdk.ko");

static struct mtx kdk_state_mtx;
MTX_SYSINIT(kdk_state, &kdk_state_mtx, "kdk state", MTX_DEF);

/* Old trees are compiled with -fcommon, which their headers need. */
struct mtx kdk_module_mtx __attribute__((__nocommon__));
MTX_SYSINIT(kdk_module, &kdk_module_mtx, "kdk module", MTX_DEF);

static SYSCTL_NODE(_debug, OID_AUTO, kdk, CTLFLAG_RD | CTLFLAG_MPSAFE, 0,
    "kdk.ko");
SYSCTL_STRING(_debug_kdk, OID_AUTO, version, CTLFLAG_RD,
    __DECONST(char *, KDK_VERSION), 0, "Version of kdk.ko");
SYSCTL_PROC(_debug_kdk, OID_AUTO, entropy,
    CTLTYPE_OPAQUE | CTLFLAG_WR | CTLFLAG_MPSAFE, NULL, 0, kdk_sysctl_entropy,
    "", "Seed of 64 bytes, mixed into the kernel's random numbers");

/* Reading it waits until each CPU has been idle, and returns 0. */
static int
kdk_sysctl_idle(SYSCTL_HANDLER_ARGS)
{
	int zero = 0;

	kdk_wait_until_idle();
	return (SYSCTL_OUT(req, &zero, sizeof(zero)));
}
SYSCTL_PROC(_debug_kdk, OID_AUTO, idle,
    CTLTYPE_INT | CTLFLAG_RD | CTLFLAG_MPSAFE, NULL, 0, kdk_sysctl_idle,
    "I", "Waits until each CPU has been idle");

/*
 * Memory.
 */
void *
kdk_malloc(size_t size, struct malloc_type *type, int flags)
{

	return (malloc(size, type, flags));
}

void
kdk_free(void *addr, struct malloc_type *type)
{

	free(addr, type);
}

struct kdk_malloc_search {
	const char		*name;
	struct kdk_malloc_stats	*stats;
	int			 found;
};

static void
kdk_malloc_match(struct malloc_type *type, void *arg)
{
	struct kdk_malloc_search *search = arg;
	struct malloc_type_internal *mti;
	struct malloc_type_stats *mts;
	int cpu;

	if (strcmp(type->ks_shortdesc, search->name) != 0)
		return;
	search->found = 1;
#if __FreeBSD_version >= 1300000
	mti = &type->ks_mti;
#else
	mti = type->ks_handle;
#endif
	for (cpu = 0; cpu <= mp_maxid; cpu++) {
#if __FreeBSD_version >= 1300000
		mts = zpcpu_get_cpu(mti->mti_stats, cpu);
#else
		mts = &mti->mti_stats[cpu];
#endif
		search->stats->bytes +=
		    mts->mts_memalloced - mts->mts_memfreed;
		search->stats->allocations +=
		    mts->mts_numallocs - mts->mts_numfrees;
	}
}

/* Adds up all types with this name; vmstat(8) lists each of them. */
int
kdk_malloc_find(const char *name, struct kdk_malloc_stats *stats)
{
	struct kdk_malloc_search search = { name, stats, 0 };

	stats->bytes = stats->allocations = 0;
	malloc_type_list(kdk_malloc_match, &search);
	return (search.found);
}

/*
 * Mutexes.  File and line are those of the Rust caller, for witness(4).
 */
void
kdk_mtx_init(struct mtx *m, const char *name, int opts)
{

	mtx_init(m, name, NULL, MTX_DEF | opts);
}

void
kdk_mtx_destroy(struct mtx *m)
{

	mtx_destroy(m);
}

void
kdk_mtx_lock(struct mtx *m, const char *file, int line)
{

	mtx_lock_flags_(m, 0, file, line);
}

int
kdk_mtx_trylock(struct mtx *m, const char *file, int line)
{

	return (mtx_trylock_flags_(m, 0, file, line));
}

void
kdk_mtx_unlock(struct mtx *m, const char *file, int line)
{

	mtx_unlock_flags_(m, 0, file, line);
}

int
kdk_mtx_owned(struct mtx *m)
{

	return (mtx_owned(m));
}

int
kdk_mtx_recursed(struct mtx *m)
{

	return (mtx_recursed(m));
}

void
kdk_state_lock(void)
{

	mtx_lock(&kdk_state_mtx);
}

void
kdk_state_unlock(void)
{

	mtx_unlock(&kdk_state_mtx);
}

int
kdk_state_sleep(void *chan, int64_t sbt)
{

	return (msleep_sbt(chan, &kdk_state_mtx, 0, "kdkwait", sbt, 0, 0));
}

/*
 * Spin mutexes.
 */
void
kdk_spin_init(struct mtx *m, const char *name)
{

	mtx_init(m, name, NULL, MTX_SPIN);
}

void
kdk_spin_destroy(struct mtx *m)
{

	mtx_destroy(m);
}

void
kdk_spin_lock(struct mtx *m)
{

	mtx_lock_spin(m);
}

void
kdk_spin_unlock(struct mtx *m)
{

	mtx_unlock_spin(m);
}

/*
 * Critical sections.
 */
void
kdk_critical_enter(void)
{

	critical_enter();
}

void
kdk_critical_exit(void)
{

	critical_exit();
}

/*
 * Sleeping.
 */
int
kdk_mtx_sleep(void *chan, struct mtx *m, const char *wmesg, int64_t sbt)
{

	return (msleep_sbt(chan, m, 0, wmesg, sbt, 0, 0));
}

int
kdk_pause(const char *wmesg, int64_t sbt)
{

	return (pause_sbt(wmesg, sbt, 0, 0));
}

void
kdk_yield(void)
{

	kern_yield(PRI_UNCHANGED);
}

int64_t
kdk_sbinuptime(void)
{

	return (sbinuptime());
}

/*
 * Callouts.
 */
void
kdk_callout_reset(struct callout *c, int64_t sbt, void (*func)(void *),
    void *arg)
{

	callout_reset_sbt(c, sbt, 0, func, arg, 0);
}

int
kdk_callout_drain(struct callout *c)
{

	return (callout_drain(c));
}

int
kdk_callout_pending(struct callout *c)
{

	return (callout_pending(c) != 0);
}

/*
 * Task queues.
 */
static int
kdk_taskqueue_start(const char *name, struct taskqueue **tqp)
{
	int error;

	error = taskqueue_start_threads(tqp, 1, PWAIT, "%s", name);
	if (error != 0) {
		taskqueue_free(*tqp);
		*tqp = NULL;
	}
	return (error);
}

int
kdk_taskqueue_create(const char *name, struct taskqueue **tqp)
{

	*tqp = taskqueue_create(name, M_WAITOK, taskqueue_thread_enqueue, tqp);
	return (kdk_taskqueue_start(name, tqp));
}

int
kdk_taskqueue_create_fast(const char *name, struct taskqueue **tqp)
{

	*tqp = taskqueue_create_fast(name, M_WAITOK, taskqueue_thread_enqueue,
	    tqp);
	return (kdk_taskqueue_start(name, tqp));
}

void
kdk_task_init(struct task *t, void (*func)(void *, int), void *arg)
{

	TASK_INIT(t, 0, func, arg);
}

/*
 * Threads.
 */

/*
 * The pages of a thread's stack, twice the kernel's default on amd64.  The
 * frames of tests that make a NIC do not fit into that.
 */
#define	KDK_STACK_PAGES	8

int
kdk_thread_create(void (*func)(void *), void *arg, const char *name)
{

	return (kthread_add(func, arg, NULL, NULL, 0, KDK_STACK_PAGES, "%s",
	    name));
}

/* Returns whether the current thread may call kthread_exit(9) now. */
int
kdk_thread_may_exit(void)
{

	return (curthread->td_critnest == 0 &&
	    curthread->td_intr_nesting_level == 0 &&
	    (curthread->td_pflags & TDP_KTHREAD) != 0);
}

int
kdk_thread_exists(int tid)
{
	struct thread *td;

	td = tdfind(tid, -1);
	if (td == NULL)
		return (0);
	PROC_UNLOCK(td->td_proc);
	return (1);
}

int
kdk_thread_sleeps_on(int tid, const void *channel)
{
	struct thread *td;
	int sleeps;

	td = tdfind(tid, -1);
	if (td == NULL)
		return (0);
	thread_lock(td);
	sleeps = TD_ON_SLEEPQ(td) && td->td_wchan == channel;
	thread_unlock(td);
	PROC_UNLOCK(td->td_proc);
	return (sleeps);
}

int
kdk_thread_sleeps_in(int tid, const char *wmesg)
{
	struct thread *td;
	int sleeps;

	td = tdfind(tid, -1);
	if (td == NULL)
		return (0);
	thread_lock(td);
	sleeps = TD_ON_SLEEPQ(td) && td->td_wmesg != NULL &&
	    strcmp(td->td_wmesg, wmesg) == 0;
	thread_unlock(td);
	PROC_UNLOCK(td->td_proc);
	return (sleeps);
}

struct thread *
kdk_curthread(void)
{

	return (curthread);
}

int
kdk_curtid(void)
{

	return (curthread->td_tid);
}

void
kdk_wait_until_idle(void)
{

	/* Without a signal it cannot fail. */
	(void)quiesce_all_cpus("kdkidle", 0);
}

uint64_t
kdk_machine_cpus(void)
{
	uint64_t cpus = 0;

	for (int cpu = 0; cpu <= mp_maxid && cpu < 64; cpu++)
		if (!CPU_ABSENT(cpu))
			cpus |= 1ULL << cpu;
	return (cpus);
}

/*
 * Mbufs.
 */
struct mbuf *
kdk_mbuf_get(int size, int pkthdr)
{

	return (m_getm2(NULL, size, M_WAITOK, MT_DATA, pkthdr ? M_PKTHDR : 0));
}

int
kdk_mbuf_pktlen(const struct mbuf *m)
{

	return ((m->m_flags & M_PKTHDR) != 0 ? m->m_pkthdr.len : -1);
}

struct mbuf *
kdk_mbuf_next(struct mbuf *m)
{

	return (m->m_next);
}

/*
 * Counts the mbufs in use.  An item of the packet zone is an mbuf with its
 * cluster.
 */
int
kdk_mbuf_count(void)
{

	return (uma_zone_get_cur(zone_mbuf) + uma_zone_get_cur(zone_pack));
}

/*
 * Counts the clusters in use outside of the packet zone.  Packets in the
 * zone's cache have clusters, too, so the cache is drained first.  Kernels that
 * cannot drain it count only the larger clusters.
 */
int
kdk_cluster_count(void)
{
	int count;

	count = uma_zone_get_cur(zone_jumbop) + uma_zone_get_cur(zone_jumbo9) +
	    uma_zone_get_cur(zone_jumbo16);
#if __FreeBSD_version >= 1300000
	uma_zone_reclaim(zone_pack, UMA_RECLAIM_DRAIN_CPU);
	count += uma_zone_get_cur(zone_clust) - uma_zone_get_cur(zone_pack);
#endif
	return (count);
}

/*
 * Miscellaneous.
 */
int64_t
kdk_uio_resid(const struct uio *uio)
{

	return (uio->uio_resid);
}

void
kdk_kassert(void)
{

	KASSERT(curthread == NULL, ("kdk: asserted by thread %d",
	    curthread->td_tid));
}

/* Unsets the variable if the value is NULL. */
int
kdk_setenv(const char *name, const char *value)
{

#if __FreeBSD_version >= 1200000
	return (value != NULL ? kern_setenv(name, value) :
	    kern_unsetenv(name));
#else
	return (value != NULL ? setenv(name, value) : unsetenv(name));
#endif
}

/* Hangs this CPU with interrupts disabled. */
void
kdk_hang(void)
{

	disable_intr();
	for (;;)
		cpu_spinwait();
}

/* As in x86/apicvar.h, which needs headers that differ between the trees. */
void	lapic_ipi_raw(register_t icrlo, u_int dest);

/* Sends an NMI to all CPUs at once, as a chipset or a hypervisor does. */
void
kdk_nmi(void)
{

	lapic_ipi_raw(APIC_DEST_ALLISELF | APIC_LEVEL_ASSERT |
	    APIC_TRIGMOD_EDGE | APIC_DESTMODE_PHY | APIC_DELMODE_NMI, 0);
}

/*
 * /dev/kdk.
 */
static d_open_t	kdk_open;
static d_read_t	kdk_read;
static d_write_t kdk_write;

static struct cdevsw kdk_cdevsw = {
	.d_version =	D_VERSION,
	.d_name =	"kdk",
	.d_open =	kdk_open,
	.d_read =	kdk_read,
	.d_write =	kdk_write,
};

static struct cdev *kdk_dev;

static int
kdk_open(struct cdev *dev __unused, int flags __unused, int type __unused,
    struct thread *td __unused)
{
	void *session;
	int error;

	error = kdk_dev_open(&session);
	if (error != 0)
		return (error);
	error = devfs_set_cdevpriv(session, kdk_dev_close);
	if (error != 0)
		kdk_dev_close(session);
	return (error);
}

static int
kdk_read(struct cdev *dev __unused, struct uio *uio, int flags __unused)
{
	void *session;
	int error;

	error = devfs_get_cdevpriv(&session);
	return (error != 0 ? error : kdk_dev_read(session, uio));
}

static int
kdk_write(struct cdev *dev __unused, struct uio *uio, int flags __unused)
{
	void *session;
	int error;

	error = devfs_get_cdevpriv(&session);
	return (error != 0 ? error : kdk_dev_write(session, uio));
}

/*
 * The module.
 */
volatile int kdk_built_for = __FreeBSD_version;

static int
kdk_attach(void)
{
	int error;

	if (osreldate != kdk_built_for) {
		printf("kdk: not loaded: the module is built for FreeBSD "
		    "%d and this kernel is %d; build kdk.ko from the tree of "
		    "this kernel\n",
		    kdk_built_for, osreldate);
		return (ENOEXEC);
	}
	error = kdk_load();
	if (error != 0)
		return (error);
	error = make_dev_p(MAKEDEV_CHECKNAME | MAKEDEV_WAITOK, &kdk_dev,
	    &kdk_cdevsw, NULL, UID_ROOT, GID_WHEEL, 0600, "kdk");
	if (error != 0) {
		printf("kdk: cannot create /dev/kdk: error %d\n", error);
		(void)kdk_unload(0);
	}
	return (error);
}

static int
kdk_detach(void)
{
	int error;

	/* The kernel unloads a module whose MOD_LOAD failed, too. */
	if (kdk_dev == NULL)
		return (0);
	error = kdk_unload(0);
	if (error == 0) {
		destroy_dev(kdk_dev);
		kdk_dev = NULL;
	}
	return (error);
}

/* This is not static, since the linker script names it. */
int	kdk_modevent(module_t mod, int event, void *arg);

int
kdk_modevent(module_t mod __unused, int event, void *arg __unused)
{

	switch (event) {
	case MOD_LOAD:
		return (kdk_attach());
	case MOD_QUIESCE:
		return (kdk_unload(1));
	case MOD_UNLOAD:
		return (kdk_detach());
	case MOD_SHUTDOWN:
		return (0);
	default:
		return (EOPNOTSUPP);
	}
}

static moduledata_t kdk_mod = {
	"kdk",
	kdk_modevent,
	NULL
};

DECLARE_MODULE(kdk, kdk_mod, SI_SUB_DRIVERS, SI_ORDER_MIDDLE);
MODULE_VERSION(kdk, 1);
