/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * An interrupt of a card made of software.  A filter runs where the interrupt
 * is found due; a handler without a filter in an interrupt thread of the
 * kernel's own, which may sleep on a mutex, has its priority, and runs on the
 * CPU that it is bound to.
 */
#ifndef _KDK_VECTOR_H_
#define	_KDK_VECTOR_H_

#include <sys/bus.h>

struct intr_event;

struct kdk_vector {
	driver_filter_t	*filter;	/* this one, or */
	driver_intr_t	*handler;	/* this one */
	void		*arg;
	struct intr_event *event;	/* of the handler's thread */
	void		*cookie;
	struct thread	*volatile thread;
	volatile u_int	 due;	/* while it is handled, and once more */
	volatile u_int	 fired;
	volatile u_int	 handled; /* of those, by the handler */
};

/* Whether it has a filter or a handler. */
int	 kdk_vector_is_set(const struct kdk_vector *vector);
/* All of these sleep.  EBUSY if it has one. */
int	 kdk_vector_set(struct kdk_vector *vector, const char *name,
	    int flags, driver_filter_t *filter, driver_intr_t *handler,
	    void *arg);
/* Waits until it does not run any more. */
void	 kdk_vector_clear(struct kdk_vector *vector);
/* A filter runs anywhere: nothing is done for it. */
int	 kdk_vector_bind(struct kdk_vector *vector, int cpu);
/*
 * In a critical section: filters run on this CPU.  What comes while the filter
 * or handler runs, here or on another CPU, makes it run again, as a pending
 * interrupt would.  False if there is neither.
 */
int	 kdk_vector_fire(struct kdk_vector *vector);
/* Whether its filter or handler has done all that it was called for. */
int	 kdk_vector_idle(struct kdk_vector *vector);

#endif /* !_KDK_VECTOR_H_ */
