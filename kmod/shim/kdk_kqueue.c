/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See kdk_kqueue.h.
 */
#include "kpi.h"

#ifdef KDK_HAVE_KQUEUE_COPY
#include <sys/capsicum.h>
#include <sys/event.h>
#include <sys/fcntl.h>
#include <sys/file.h>
#include <sys/filedesc.h>
#include <sys/sbuf.h>
#include <sys/sx.h>
#include <sys/syscallsubr.h>
#include <sys/user.h>

int
kdk_fd_close(int fd)
{

	return (kern_close(curthread, fd));
}

int
kdk_fd_kqueue(int copied_on_fork, int *fd)
{
	int error;

	error = kern_kqueue(curthread, 0, copied_on_fork, NULL);
	if (error == 0)
		*fd = curthread->td_retval[0];
	return (error);
}

int
kdk_fd_duplicate(int from, int least, int *fd)
{
	int error;

	error = kern_dup(curthread, FDDUP_FCNTL, 0, from, least);
	if (error == 0)
		*fd = curthread->td_retval[0];
	return (error);
}

static int
kdk_kevent_out(void *arg, struct kevent *kev, int count)
{

	memcpy(arg, kev, count * sizeof(*kev));
	return (0);
}

static int
kdk_kevent_in(void *arg, struct kevent *kev, int count)
{

	memcpy(kev, arg, count * sizeof(*kev));
	return (0);
}

int
kdk_kqueue_take(int fd, int64_t milliseconds, struct kdk_event *event,
    int *count)
{
	struct kevent kev;
	struct kevent_copyops ops = {
		.arg = &kev,
		.k_copyout = kdk_kevent_out,
		.k_copyin = kdk_kevent_in,
		.kevent_size = sizeof(kev),
	};
	struct timespec limit = {
		.tv_sec = milliseconds / 1000,
		.tv_nsec = milliseconds % 1000 * 1000000,
	};
	int error;

	error = kern_kevent(curthread, fd, 0, 1, &ops, &limit);
	if (error != 0)
		return (error);
	*count = curthread->td_retval[0];
	if (*count != 0) {
		event->ident = kev.ident;
		event->udata = (uintptr_t)kev.udata;
		event->data = kev.data;
		event->fflags = kev.fflags;
		event->filter = kev.filter;
	}
	return (0);
}

int
kdk_kqueue_fork(int queue, int *fd)
{
	struct thread *td = curthread;
	struct filedesc *fdp = td->td_proc->p_fd;
	struct file *fp, *copy;
	cap_rights_t rights;
	int error;

	error = fget(td, queue, cap_rights_init_one(&rights,
	    CAP_KQUEUE_CHANGE), &fp);
	if (error != 0)
		return (error);
	if (fp->f_type != DTYPE_KQUEUE) {
		fdrop(fp, td);
		return (EINVAL);
	}
	/* As fdcopy() does. */
	copy = NULL;
	FILEDESC_XLOCK(fdp);
	error = fp->f_ops->fo_fork(fdp, fp, &copy, td->td_proc, td);
	FILEDESC_XUNLOCK(fdp);
	if (error == 0) {
		(void)fp->f_ops->fo_fork(fdp, NULL, &copy, td->td_proc, td);
		error = finstall(td, copy, fd, 0, NULL);
		fdrop(copy, td);
	}
	fdrop(fp, td);
	return (error);
}

int
kdk_kqueue_dump(u_int *knotes)
{
	struct sbuf *sb;
	int error;

	sb = sbuf_new_auto();
	error = kern_proc_kqueues_out(curproc, sb, -1, false);
	if (error == 0)
		error = sbuf_finish(sb);
	if (error == 0)
		*knotes = sbuf_len(sb) / sizeof(struct kinfo_knote);
	sbuf_delete(sb);
	return (error);
}

/*
 * Places where threads stop.
 */
struct kdk_stop {
	u_int	came;		/* threads */
	u_int	stopped;	/* threads, ever */
	u_int	last;		/* value of 'stopped' from which on none is */
	u_int	released;	/* threads */
};

static struct kdk_stop kdk_stops[KDK_STOPS];
static struct mtx kdk_stops_mtx;
MTX_SYSINIT(kdk_stops, &kdk_stops_mtx, "kdk stops", MTX_DEF);

/* May be called with the lock of a kqueue, if no thread is to be stopped. */
static void
kdk_stop_here(int place)
{
	struct kdk_stop *stop = &kdk_stops[place];
	u_int ticket;

	mtx_lock(&kdk_stops_mtx);
	stop->came++;
	wakeup(stop);
	if (stop->stopped < stop->last) {
		ticket = stop->stopped++;
		while (ticket >= stop->released)
			mtx_sleep(stop, &kdk_stops_mtx, 0, "kdkstop", 0);
	}
	mtx_unlock(&kdk_stops_mtx);
}

void
kdk_stop_next(int place, u_int count)
{
	struct kdk_stop *stop = &kdk_stops[place];

	mtx_lock(&kdk_stops_mtx);
	stop->came = 0;
	stop->last = stop->stopped + count;
	mtx_unlock(&kdk_stops_mtx);
}

u_int
kdk_stop_came(int place)
{
	u_int came;

	mtx_lock(&kdk_stops_mtx);
	came = kdk_stops[place].came;
	mtx_unlock(&kdk_stops_mtx);
	return (came);
}

void
kdk_stop_wait(int place, u_int count)
{
	struct kdk_stop *stop = &kdk_stops[place];

	mtx_lock(&kdk_stops_mtx);
	while (stop->came < count)
		mtx_sleep(stop, &kdk_stops_mtx, 0, "kdkcame", 0);
	mtx_unlock(&kdk_stops_mtx);
}

void
kdk_stop_release(int place)
{
	struct kdk_stop *stop = &kdk_stops[place];

	mtx_lock(&kdk_stops_mtx);
	stop->released++;
	wakeup(stop);
	mtx_unlock(&kdk_stops_mtx);
}

static void
kdk_stop_none(void)
{

	mtx_lock(&kdk_stops_mtx);
	for (int place = 0; place < KDK_STOPS; place++) {
		struct kdk_stop *stop = &kdk_stops[place];

		stop->last = stop->released = stop->stopped;
		wakeup(stop);
	}
	mtx_unlock(&kdk_stops_mtx);
}

/*
 * The list of knotes.
 */
static struct knlist kdk_knlist;
static struct sx kdk_knlist_sx;
SX_SYSINIT(kdk_knlist, &kdk_knlist_sx, "kdk knlist");

/* The thread that waits for a dump, see kdk_knotes_clear_as_dump_ends(). */
static struct thread *kdk_awaits_dump;

static void
kdk_knlist_lock(void *arg __unused)
{

	kdk_stop_here(KDK_STOP_LOCK);
	sx_xlock(&kdk_knlist_sx);
}

static void
kdk_knlist_unlock(void *arg __unused)
{

	sx_xunlock(&kdk_knlist_sx);
	kdk_stop_here(KDK_STOP_UNLOCK);
}

static void
kdk_await_dump(void)
{
	struct knote *kn;

	kn = SLIST_FIRST(&kdk_knlist.kl_list);
	kdk_stop_release(KDK_STOP_DUMP);
	/* The lock of another knote's kqueue is owned, so do not sleep. */
	while (atomic_load_int(&kn->kn_influx) != 0)
		kern_yield(PRI_UNCHANGED);
}

static void
kdk_knlist_assert(void *arg __unused, int what)
{

	sx_assert(&kdk_knlist_sx, what == LA_LOCKED ? SA_XLOCKED :
	    SA_UNLOCKED);
	/* knlist_cleardel() removes the first knote that is not in flux. */
	if (what == LA_LOCKED && kdk_awaits_dump == curthread) {
		kdk_awaits_dump = NULL;
		kdk_await_dump();
	}
}

static void
kdk_knote_detach(struct knote *kn)
{

	kdk_stop_here(KDK_STOP_DETACH);
	knlist_remove(&kdk_knlist, kn, 0);
}

static int
kdk_knote_event(struct knote *kn, long hint)
{

	if (hint != 0) {
		kdk_stop_here(KDK_STOP_EVENT);
		kn->kn_data += hint;
	}
	return (kn->kn_data != 0);
}

static int
kdk_knote_dump(struct proc *p __unused, struct knote *kn __unused,
    struct kinfo_knote *kin __unused)
{

	kdk_stop_here(KDK_STOP_DUMP);
	return (0);
}

static int
kdk_knote_copy(struct knote *kn __unused, struct proc *p __unused)
{

	kdk_stop_here(KDK_STOP_COPY);
	return (0);
}

static const struct filterops kdk_filterops = {
	.f_isfd = 1,
	.f_detach = kdk_knote_detach,
	.f_event = kdk_knote_event,
	.f_userdump = kdk_knote_dump,
	.f_copy = kdk_knote_copy,
};

static int
kdk_knotes_kqfilter(struct file *fp __unused, struct knote *kn)
{

	kn->kn_fop = &kdk_filterops;
	knlist_add(&kdk_knlist, kn, 0);
	return (0);
}

static int
kdk_knotes_last_close(struct file *fp __unused, struct thread *td __unused)
{

	knlist_destroy(&kdk_knlist);
	return (0);
}

static const struct fileops kdk_knotes_ops = {
	.fo_read = invfo_rdwr,
	.fo_write = invfo_rdwr,
	.fo_truncate = invfo_truncate,
	.fo_ioctl = invfo_ioctl,
	.fo_poll = invfo_poll,
	.fo_kqfilter = kdk_knotes_kqfilter,
	.fo_close = kdk_knotes_last_close,
	.fo_chmod = invfo_chmod,
	.fo_chown = invfo_chown,
	.fo_sendfile = invfo_sendfile,
	.fo_flags = DFLAG_PASSABLE,
};

int
kdk_knotes_open(int *fd)
{
	struct thread *td = curthread;
	struct file *fp;
	int error;

	error = falloc(td, &fp, fd, 0);
	if (error != 0)
		return (error);
	kdk_stop_none();
	knlist_init(&kdk_knlist, &kdk_knlist_sx, kdk_knlist_lock,
	    kdk_knlist_unlock, kdk_knlist_assert);
	finit(fp, FREAD | FWRITE, DTYPE_DEV, NULL, &kdk_knotes_ops);
	fdrop(fp, td);
	return (0);
}

void
kdk_knotes_close(int fd)
{

	kdk_stop_none();
	(void)kern_close(curthread, fd);
}

int
kdk_knotes_change(int queue, int fd, u_int flags)
{
	struct kevent kev;

	EV_SET(&kev, fd, EVFILT_READ, flags, 0, 0, NULL);
	return (kqfd_register(queue, &kev, curthread, M_WAITOK));
}

void
kdk_knotes_post(long data, int kq_locked)
{

	knote(&kdk_knlist, data, kq_locked ? 0 : KNF_NOKQLOCK);
}

void
kdk_knotes_clear(void)
{

	knlist_clear(&kdk_knlist, 0);
}

void
kdk_knotes_clear_as_dump_ends(void)
{

	kdk_awaits_dump = curthread;
	knlist_clear(&kdk_knlist, 0);
	kdk_awaits_dump = NULL;
}

u_int
kdk_knotes_count(void)
{
	struct knote *kn;
	u_int count = 0;

	sx_xlock(&kdk_knlist_sx);
	SLIST_FOREACH(kn, &kdk_knlist.kl_list, kn_selnext)
		count++;
	sx_xunlock(&kdk_knlist_sx);
	return (count);
}
#endif
