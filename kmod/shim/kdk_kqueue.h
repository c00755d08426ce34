/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Kqueues of kernel threads, and a file whose knotes stop threads where the
 * test says: what makes races in kqueue(9) deterministic.  Trees without
 * KQUEUE_CPONFORK do not have it.
 */
#ifndef _KDK_KQUEUE_H_
#define	_KDK_KQUEUE_H_

#if __FreeBSD_version >= 1500000
#define	KDK_HAVE_KQUEUE_COPY

struct kdk_event {
	uintptr_t	ident;
	uintptr_t	udata;
	int64_t		data;
	uint32_t	fflags;
	int		filter;
};

/* Each returns an errno value or 0, and a new descriptor in *fd. */
int	 kdk_fd_close(int fd);
int	 kdk_fd_kqueue(int copied_on_fork, int *fd);
/* Duplicates to the lowest free descriptor from 'least' on. */
int	 kdk_fd_duplicate(int from, int least, int *fd);

int	 kdk_kqueue_take(int fd, int64_t milliseconds, struct kdk_event *event,
	    int *count);
/* Copies a kqueue as fork(2) does, for this process. */
int	 kdk_kqueue_fork(int queue, int *fd);
/* Reads kern.proc.kq of this process, and counts the knotes in it. */
int	 kdk_kqueue_dump(u_int *knotes);

/* Where a thread can be stopped. */
#define	KDK_STOP_DUMP	0	/* f_userdump */
#define	KDK_STOP_COPY	1	/* f_copy */
#define	KDK_STOP_EVENT	2	/* f_event, for kdk_knotes_post() */
#define	KDK_STOP_DETACH	3	/* f_detach */
#define	KDK_STOP_LOCK	4	/* before the list of knotes is locked */
#define	KDK_STOP_UNLOCK	5	/* after it was unlocked */
#define	KDK_STOPS	6

/*
 * The file, of which there is one at a time.  It has one list of knotes, whose
 * lock can be slept with.
 */
int	 kdk_knotes_open(int *fd);
/* Stops no thread any more. */
void	 kdk_knotes_close(int fd);
/* Applies EV_ADD, EV_DELETE, .. to the EVFILT_READ knote of a descriptor. */
int	 kdk_knotes_change(int queue, int fd, u_int flags);
/* Adds to the data of all knotes, with the kqueue locked or not. */
void	 kdk_knotes_post(long data, int kq_locked);
/* Takes all knotes from the list, see knlist_clear(9). */
void	 kdk_knotes_clear(void);
/*
 * Does the same.  When the first knote was passed over because it is being
 * dumped, lets the dump go on and waits until the knote has left flux.
 */
void	 kdk_knotes_clear_as_dump_ends(void);
u_int	 kdk_knotes_count(void);

/* Stops the next 'count' threads that come to a place. */
void	 kdk_stop_next(int place, u_int count);
/* Returns how many threads have come to a place, stopped or not. */
u_int	 kdk_stop_came(int place);
/* Waits until this many have come. */
void	 kdk_stop_wait(int place, u_int count);
/* Lets the thread go on that was stopped first. */
void	 kdk_stop_release(int place);
#endif

#endif /* !_KDK_KQUEUE_H_ */
