/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Queues of received frames that a test reads one at a time.
 */
#ifndef _KDK_MBUFQ_H_
#define	_KDK_MBUFQ_H_

#include "kdk_compat.h"

/*
 * Removes the oldest frame of a queue, which 'mtx' protects.  Returns ENOENT
 * if the queue is empty, and EMSGSIZE, leaving the frame in the queue, if the
 * frame is longer than 'room' bytes.
 */
static __inline int
kdk_mbufq_take(struct mbufq *mq, struct mtx *mtx, size_t room,
    struct mbuf **mp)
{
	struct mbuf *m;
	int error = 0;

	mtx_lock(mtx);
	m = mbufq_first(mq);
	if (m == NULL)
		error = ENOENT;
	else if (m_length(m, NULL) > room)
		error = EMSGSIZE;
	else
		*mp = mbufq_dequeue(mq);
	mtx_unlock(mtx);
	return (error);
}

#endif /* !_KDK_MBUFQ_H_ */
