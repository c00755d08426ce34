/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * An interrupt of a software NIC.  A filter runs in the thread that fires the
 * interrupt.  A handler without a filter runs in an interrupt thread of the
 * kernel, which may block on a mutex, has the priority of its kind, and runs
 * on the CPU that it is bound to.
 */
#ifndef _KDK_VECTOR_H_
#define	_KDK_VECTOR_H_

#include <sys/bus.h>

struct intr_event;

struct kdk_vector {
	driver_filter_t	*filter;	/* either a filter */
	driver_intr_t	*handler;	/* or a handler */
	void		*arg;
	struct intr_event *event;	/* the event of the handler */
	void		*cookie;
	struct thread	*volatile thread;
	volatile u_int	 due;	/* not 0 while the interrupt is handled */
	volatile u_int	 fired;
	volatile u_int	 handled; /* of those, completed by the handler */
};

/* Returns whether the vector has a filter or a handler. */
int	 kdk_vector_is_set(const struct kdk_vector *vector);
/* The next three sleep.  Returns EBUSY if the vector has one. */
int	 kdk_vector_set(struct kdk_vector *vector, const char *name,
	    int flags, driver_filter_t *filter, driver_intr_t *handler,
	    void *arg);
/* Removes the filter or handler and waits until it does not run. */
void	 kdk_vector_clear(struct kdk_vector *vector);
/* Binds a handler to a CPU.  Filters are not bound. */
int	 kdk_vector_bind(struct kdk_vector *vector, int cpu);
/*
 * Fires the interrupt, in a critical section.  A filter runs on this CPU.  If
 * it fires while its filter or handler runs, on any CPU, that runs once more.
 * Returns 0 if there is neither.
 */
int	 kdk_vector_fire(struct kdk_vector *vector);
/* Returns whether the filter or handler has completed. */
int	 kdk_vector_idle(struct kdk_vector *vector);

#endif /* !_KDK_VECTOR_H_ */
