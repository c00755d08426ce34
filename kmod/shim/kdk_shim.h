/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The interface between C and Rust.  First, functions for macros and inline
 * functions of the kernel, which bindgen cannot bind.  At the end, functions
 * of the Rust half that the C half calls.
 */
#ifndef _KDK_SHIM_H_
#define	_KDK_SHIM_H_

struct callout;
struct mbuf;
struct mtx;
struct malloc_type;
struct task;
struct taskqueue;
struct thread;
struct uio;

MALLOC_DECLARE(M_KDK);

/* Use of one malloc(9) type, over all CPUs. */
struct kdk_malloc_stats {
	uint64_t	bytes;		/* in use */
	uint64_t	allocations;	/* in use */
};

/*
 * The osreldate of the kernel that the module is built for.  A test loads a
 * copy of the module with another value.
 */
extern volatile int kdk_built_for;

/* Memory. */
void	*kdk_malloc(size_t size, struct malloc_type *type, int flags);
void	 kdk_free(void *addr, struct malloc_type *type);
int	 kdk_malloc_find(const char *name, struct kdk_malloc_stats *stats);

/* Sleep mutexes (MTX_DEF).  kdk_module_mtx exists from load to unload. */
extern struct mtx kdk_module_mtx;
void	 kdk_mtx_init(struct mtx *m, const char *name, int opts);
void	 kdk_mtx_destroy(struct mtx *m);
void	 kdk_mtx_lock(struct mtx *m, const char *file, int line);
int	 kdk_mtx_trylock(struct mtx *m, const char *file, int line);
void	 kdk_mtx_unlock(struct mtx *m, const char *file, int line);
int	 kdk_mtx_owned(struct mtx *m);
int	 kdk_mtx_recursed(struct mtx *m);

/* The module's state lock.  It is a leaf in the lock order. */
void	 kdk_state_lock(void);
void	 kdk_state_unlock(void);
int	 kdk_state_sleep(void *chan, int64_t sbt);

/* Spin mutexes (MTX_SPIN). */
void	 kdk_spin_init(struct mtx *m, const char *name);
void	 kdk_spin_destroy(struct mtx *m);
void	 kdk_spin_lock(struct mtx *m);
void	 kdk_spin_unlock(struct mtx *m);

/* Critical sections, see critical_enter(9). */
void	 kdk_critical_enter(void);
void	 kdk_critical_exit(void);

/* Sleeping. */
int	 kdk_mtx_sleep(void *chan, struct mtx *m, const char *wmesg,
	    int64_t sbt);
int	 kdk_pause(const char *wmesg, int64_t sbt);
void	 kdk_yield(void);
int64_t	 kdk_sbinuptime(void);

/* Callouts. */
void	 kdk_callout_reset(struct callout *c, int64_t sbt,
	    void (*func)(void *), void *arg);
int	 kdk_callout_drain(struct callout *c);
int	 kdk_callout_pending(struct callout *c);

/* Task queues. */
int	 kdk_taskqueue_create(const char *name, struct taskqueue **tqp);
/* Creates a queue that accepts tasks under a spin mutex. */
int	 kdk_taskqueue_create_fast(const char *name, struct taskqueue **tqp);
void	 kdk_task_init(struct task *t, void (*func)(void *, int), void *arg);

/* Threads. */
int	 kdk_thread_create(void (*func)(void *), void *arg, const char *name);
int	 kdk_thread_may_exit(void);
int	 kdk_thread_exists(int tid);
int	 kdk_thread_sleeps_on(int tid, const void *channel);
/* Returns whether a thread sleeps with this wait message, see sleep(9). */
int	 kdk_thread_sleeps_in(int tid, const char *wmesg);
struct thread *kdk_curthread(void);
int	 kdk_curtid(void);

/* Waits until each CPU has been idle. */
void	 kdk_wait_until_idle(void);

/* Returns a mask of the machine's CPUs below 64. */
uint64_t kdk_machine_cpus(void);

/* Mbufs. */
struct mbuf *kdk_mbuf_get(int size, int pkthdr);
int	 kdk_mbuf_pktlen(const struct mbuf *m);
struct mbuf *kdk_mbuf_next(struct mbuf *m);
int	 kdk_mbuf_count(void);
int	 kdk_cluster_count(void);

/* Miscellaneous. */
int64_t	 kdk_uio_resid(const struct uio *uio);
void	 kdk_kassert(void);
void	 kdk_hang(void) __dead2;
void	 kdk_nmi(void);
int	 kdk_setenv(const char *name, const char *value);

/* Functions of the Rust half.  Each returns an errno value or 0. */
int	 kdk_load(void);
int	 kdk_unload(int ask_only);
int	 kdk_dev_open(void **sessionp);
void	 kdk_dev_close(void *session);
int	 kdk_dev_read(void *session, struct uio *uio);
int	 kdk_dev_write(void *session, struct uio *uio);

#endif /* !_KDK_SHIM_H_ */
