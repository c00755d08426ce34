/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See kdk_vector.h.
 */
#include "kpi.h"

#ifdef KDK_HAVE_IXGBE
#include <sys/bus.h>
#include <sys/interrupt.h>
#include <sys/proc.h>

#include "kdk_compat.h"
#include "kdk_vector.h"

#ifdef KDK_2014
typedef u_char kdk_cpu_t;
#else
typedef int kdk_cpu_t;
#endif

static driver_filter_t *
kdk_vector_filter(const struct kdk_vector *vector)
{

	return ((driver_filter_t *)atomic_load_acq_ptr(
	    __DECONST(uintptr_t *, &vector->filter)));
}

static struct intr_event *
kdk_vector_event(const struct kdk_vector *vector)
{

	return ((struct intr_event *)atomic_load_acq_ptr(
	    __DECONST(uintptr_t *, &vector->event)));
}

int
kdk_vector_is_set(const struct kdk_vector *vector)
{

	return (vector->filter != NULL || vector->event != NULL);
}

/* Runs in the interrupt thread. */
static void
kdk_vector_handle(void *arg)
{
	struct kdk_vector *vector = arg;
	u_int seen;

	if (kdk_vector_event(vector) == NULL) {
		/* This is the first run, for kdk_vector_start(). */
		vector->thread = curthread;
		return;
	}
	seen = atomic_load_acq_int(&vector->fired);
	vector->handler(vector->arg);
	atomic_store_rel_int(&vector->handled, seen);
}

/* Only the thread is bound. */
static int
kdk_vector_assign_cpu(void *source __unused, kdk_cpu_t cpu __unused)
{

	return (0);
}

/*
 * The thread has to run once before its event may be destroyed, since it
 * writes to the event when it starts.
 */
static int
kdk_vector_start(struct kdk_vector *vector, const char *name, int flags)
{
	struct intr_event *event;
	int error;

	error = intr_event_create(&event, vector, 0, -1, NULL, NULL, NULL,
	    kdk_vector_assign_cpu, "kdk %s", name);
	if (error != 0)
		return (error);
	error = intr_event_add_handler(event, name, NULL, kdk_vector_handle,
	    vector, intr_priority(flags), flags, &vector->cookie);
	if (error != 0) {
		(void)intr_event_destroy(event);
		return (error);
	}
	(void)intr_event_handle(event, NULL);
	while (vector->thread == NULL)
		pause("kdkirq", 1);
	atomic_store_rel_ptr((uintptr_t *)&vector->event, (uintptr_t)event);
	return (0);
}

int
kdk_vector_set(struct kdk_vector *vector, const char *name, int flags,
    driver_filter_t *filter, driver_intr_t *handler, void *arg)
{

	/* No driver has both. */
	if ((filter == NULL) == (handler == NULL))
		return (EOPNOTSUPP);
	if (kdk_vector_is_set(vector))
		return (EBUSY);
	vector->arg = arg;
	vector->handler = handler;
	if (handler != NULL)
		return (kdk_vector_start(vector, name, flags));
	atomic_store_rel_ptr((uintptr_t *)&vector->filter, (uintptr_t)filter);
	return (0);
}

/*
 * After its handler is removed the thread may still use its event, which the
 * kernel frees without waiting.
 */
static int
kdk_vector_is_asleep(const struct kdk_vector *vector)
{
	struct thread *td = vector->thread;
	int asleep;

	thread_lock(td);
	asleep = TD_AWAITING_INTR(td);
	thread_unlock(td);
	return (asleep);
}

void
kdk_vector_clear(struct kdk_vector *vector)
{
	struct intr_event *event;

	event = kdk_vector_event(vector);
	atomic_store_rel_ptr((uintptr_t *)&vector->filter, 0);
	atomic_store_rel_ptr((uintptr_t *)&vector->event, 0);
	/* This orders the stores above before the loads below. */
	(void)atomic_fetchadd_int(&vector->due, 0);
	while (atomic_load_acq_int(&vector->due) != 0)
		cpu_spinwait();
	if (event == NULL)
		return;
	(void)intr_event_remove_handler(vector->cookie);
	while (!kdk_vector_is_asleep(vector))
		pause("kdkirq", 1);
	vector->thread = NULL;
	(void)intr_event_destroy(event);
	atomic_store_rel_int(&vector->handled, vector->fired);
}

int
kdk_vector_bind(struct kdk_vector *vector, int cpu)
{

	return (vector->event == NULL ? 0 :
	    intr_event_bind(vector->event, cpu));
}

static int
kdk_vector_run(struct kdk_vector *vector)
{
	driver_filter_t *filter;
	struct intr_event *event;

	filter = kdk_vector_filter(vector);
	event = kdk_vector_event(vector);
	if (filter == NULL && event == NULL)
		return (0);
	atomic_add_int(&vector->fired, 1);
	if (filter != NULL)
		(void)filter(vector->arg);
	else
		(void)intr_event_handle(event, NULL);
	return (1);
}

int
kdk_vector_fire(struct kdk_vector *vector)
{
	u_int seen;
	int ran = 1;

	if (atomic_fetchadd_int(&vector->due, 1) != 0)
		return (1);
	do {
		seen = atomic_load_acq_int(&vector->due);
		ran &= kdk_vector_run(vector);
	} while (atomic_cmpset_rel_int(&vector->due, seen, 0) == 0);
	return (ran);
}

int
kdk_vector_idle(struct kdk_vector *vector)
{

	return (atomic_load_acq_int(&vector->due) == 0 &&
	    (kdk_vector_event(vector) == NULL ||
	    atomic_load_acq_int(&vector->handled) == vector->fired));
}
#endif
