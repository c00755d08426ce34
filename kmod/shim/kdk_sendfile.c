/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * sendfile(2) with SF_KQUEUE, and what it needs, from a kernel thread.  Its
 * descriptors are those of process 0.
 */
#include "kpi.h"

#ifdef KDK_HAVE_SENDFILE_KQUEUE
#include <sys/capsicum.h>
#include <sys/domain.h>
#include <sys/event.h>
#include <sys/fcntl.h>
#include <sys/file.h>
#include <sys/filedesc.h>
#include <sys/mman.h>
#include <sys/protosw.h>
#include <sys/rmlock.h>
#include <sys/rwlock.h>
#include <sys/socketvar.h>
#include <sys/sx.h>
#include <sys/syscallsubr.h>
#include <sys/un.h>
#include <sys/unpcb.h>
#include <net/if.h>
#include <net/vnet.h>
#include <netinet/in.h>
#include <netinet/in_pcb.h>

static struct rwlock kdk_rw;
RW_SYSINIT(kdk_rw, &kdk_rw, "kdk rwlock");
static struct rmlock kdk_rm;
RM_SYSINIT(kdk_rm, &kdk_rm, "kdk rmlock");
static struct sx kdk_sx;
SX_SYSINIT(kdk_sx, &kdk_sx, "kdk sx");

/*
 * Descriptors.
 */
static int
kdk_fd_socket(int fd, struct file **fp, struct socket **so)
{
	cap_rights_t rights;
	int error;

	error = getsock(curthread, fd, cap_rights_init_one(&rights, CAP_RECV),
	    fp);
	if (error == 0)
		*so = (*fp)->f_data;
	return (error);
}

int
kdk_fd_unix_pair(int fd[2])
{

	return (kern_socketpair(curthread, AF_UNIX, SOCK_STREAM, 0, fd));
}

int
kdk_fd_tcp_listener(int *fd)
{
	struct sockaddr_in sin = {
		.sin_len = sizeof(sin),
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct thread *td = curthread;
	int error;

	error = kern_socket(td, AF_INET, SOCK_STREAM, 0);
	if (error != 0)
		return (error);
	*fd = td->td_retval[0];
	error = kern_bindat(td, AT_FDCWD, *fd, (struct sockaddr *)&sin);
	if (error == 0)
		error = kern_listen(td, *fd, 1);
	if (error != 0)
		(void)kern_close(td, *fd);
	return (error);
}

int
kdk_fd_tcp_pair(int fd[2])
{
	struct sockaddr_storage ss = { .ss_len = sizeof(ss) };
	struct thread *td = curthread;
	int error, listener;

	error = kdk_fd_tcp_listener(&listener);
	if (error != 0)
		return (error);
	error = kern_getsockname(td, listener, (struct sockaddr *)&ss);
	if (error == 0)
		error = kern_socket(td, AF_INET, SOCK_STREAM, 0);
	if (error != 0)
		goto out;
	fd[0] = td->td_retval[0];
	error = kern_connectat(td, AT_FDCWD, fd[0], (struct sockaddr *)&ss);
	if (error == 0) {
		ss.ss_len = sizeof(ss);
		error = kern_accept(td, listener, (struct sockaddr *)&ss, NULL);
	}
	if (error == 0)
		fd[1] = td->td_retval[0];
	else
		(void)kern_close(td, fd[0]);
out:
	(void)kern_close(td, listener);
	return (error);
}

int
kdk_fd_shared_memory(size_t length, int *fd)
{
	struct thread *td = curthread;
	int error;

	error = kern_shm_open2(td, SHM_ANON, O_RDWR, 0600, 0, NULL, NULL, NULL);
	if (error != 0)
		return (error);
	*fd = td->td_retval[0];
	error = kern_ftruncate(td, *fd, length);
	if (error != 0)
		(void)kern_close(td, *fd);
	return (error);
}

int
kdk_fd_unix(int *fd)
{
	int error;

	error = kern_socket(curthread, AF_UNIX, SOCK_STREAM, 0);
	if (error == 0)
		*fd = curthread->td_retval[0];
	return (error);
}

int
kdk_fd_unix_connect(int fd, int *peer)
{
	struct sockaddr_un sun = {
		.sun_len = sizeof(sun),
		.sun_family = AF_UNIX,
		.sun_path = "/tmp/kdk",
	};
	struct sockaddr_storage ss = { .ss_len = sizeof(ss) };
	struct thread *td = curthread;
	int error, listener;

	/* A process of the kernel has no root directory. */
	pwd_ensure_dirs();
	error = kdk_fd_unix(&listener);
	if (error != 0)
		return (error);
	error = kern_bindat(td, AT_FDCWD, listener, (struct sockaddr *)&sun);
	if (error != 0)
		goto out;
	error = kern_listen(td, listener, 1);
	if (error == 0)
		error = kern_connectat(td, AT_FDCWD, fd,
		    (struct sockaddr *)&sun);
	if (error == 0)
		error = kern_accept(td, listener, (struct sockaddr *)&ss,
		    NULL);
	if (error == 0)
		*peer = td->td_retval[0];
	(void)kern_funlinkat(td, AT_FDCWD, sun.sun_path, FD_NONE,
	    UIO_SYSSPACE, 0, 0);
out:
	(void)kern_close(td, listener);
	return (error);
}

int
kdk_fd_shutdown(int fd, int how)
{

	_Static_assert(SHUT_RD == KDK_SHUT_INPUT && SHUT_WR == KDK_SHUT_OUTPUT &&
	    SHUT_RDWR == KDK_SHUT_BOTH, "the values differ");
	return (kern_shutdown(curthread, fd, how));
}

int
kdk_fd_error(int fd, int *error)
{
	socklen_t size = sizeof(*error);

	return (kern_getsockopt(curthread, fd, SOL_SOCKET, SO_ERROR, error,
	    UIO_SYSSPACE, &size));
}

static int
kdk_fd_transfer(int fd, struct iovec *iov, struct mbuf *control, enum uio_rw rw)
{
	struct uio uio = {
		.uio_iov = iov,
		.uio_iovcnt = 1,
		.uio_resid = iov->iov_len,
		.uio_segflg = UIO_SYSSPACE,
		.uio_rw = rw,
		.uio_td = curthread,
	};
	struct file *fp;
	struct socket *so;
	int error, flags = MSG_DONTWAIT;

	error = kdk_fd_socket(fd, &fp, &so);
	if (error != 0) {
		m_freem(control);
		return (error);
	}
	error = rw == UIO_READ ?
	    soreceive(so, NULL, &uio, NULL, NULL, &flags) :
	    sosend(so, NULL, &uio, NULL, control, flags, curthread);
	fdrop(fp, curthread);
	return (error);
}

int
kdk_fd_send(int fd, const void *bytes, size_t length)
{
	struct iovec iov = {
		.iov_base = __DECONST(void *, bytes),
		.iov_len = length,
	};

	return (kdk_fd_transfer(fd, &iov, NULL, UIO_WRITE));
}

int
kdk_fd_send_descriptor(int fd, int passed)
{
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = sizeof(byte) };
	struct mbuf *control;

	control = sbcreatecontrol(&passed, sizeof(passed), SCM_RIGHTS,
	    SOL_SOCKET, M_WAITOK);
	return (kdk_fd_transfer(fd, &iov, control, UIO_WRITE));
}

int
kdk_fd_receive(int fd, void *bytes, size_t room, size_t *length)
{
	struct iovec iov = { .iov_base = bytes, .iov_len = room };
	int error;

	error = kdk_fd_transfer(fd, &iov, NULL, UIO_READ);
	*length = room - iov.iov_len;
	return (error);
}

/*
 * A protocol switch that fails as the call demands.  A socket points to it
 * during one call, and there is one such call at a time.  Other threads that
 * read the pointer may use it later, so it is never freed.
 */
static struct {
	struct protosw		pr;
	const struct protosw	*real;
	struct kdk_sendfile	*call;
	u_int			passed;
} kdk_faulty;

static int
kdk_faulty_fails(int step)
{

	return (kdk_faulty.call->step == step &&
	    kdk_faulty.passed++ == kdk_faulty.call->passes);
}

static int
kdk_faulty_wait(struct socket *so, off_t need, int *space)
{
	int error;

	if (kdk_faulty_fails(KDK_STEP_WAIT))
		return (kdk_faulty.call->error);
	error = kdk_faulty.real->pr_sendfile_wait(so, need, space);
	if (error == 0 && kdk_faulty.call->space != 0)
		*space = min(*space, kdk_faulty.call->space);
	return (error);
}

static int
kdk_faulty_send(struct socket *so, int flags, struct mbuf *m,
    struct sockaddr *nam, struct mbuf *control, struct thread *td)
{

	/* As another thread may between the wait for space and this. */
	if (kdk_faulty.call->shut >= 0)
		(void)kern_shutdown(td, kdk_faulty.call->shut, SHUT_RD);
	if (!kdk_faulty_fails(KDK_STEP_SEND))
		return (kdk_faulty.real->pr_send(so, flags, m, nam, control,
		    td));
	/* TCP refuses data only of a connection that was dropped. */
	if (so->so_proto->pr_protocol == IPPROTO_TCP) {
		kdk_faulty.real->pr_abort(so);
		return (kdk_faulty.real->pr_send(so, flags, m, nam, control,
		    td));
	}
	if ((flags & PRUS_NOTREADY) == 0)
		m_freem(m);
	return (kdk_faulty.call->error);
}

static int
kdk_faulty_sosend(struct socket *so, struct sockaddr *addr, struct uio *uio,
    struct mbuf *top, struct mbuf *control, int flags, struct thread *td)
{

	if (kdk_faulty_fails(KDK_STEP_TRAILER))
		return (kdk_faulty.call->error);
	return (kdk_faulty.real->pr_sosend(so, addr, uio, top, control, flags,
	    td));
}

int
kdk_sendfile(struct kdk_sendfile *call)
{
	struct sf_hdtr_kq kq = {
		.kq_ident = call->ident,
		.kq_udata = (void *)~call->ident,
		.kq_flags = call->event_flags,
		.kq_fd = call->queue,
	};
	struct iovec iov[] = {
		{
			.iov_base = __DECONST(void *, call->header),
			.iov_len = call->header_length,
		}, {
			.iov_base = __DECONST(void *, call->trailer),
			.iov_len = call->trailer_length,
		},
	};
	struct uio header = {
		.uio_iov = &iov[0],
		.uio_iovcnt = 1,
		.uio_resid = call->header_length,
		.uio_segflg = UIO_SYSSPACE,
		.uio_rw = UIO_WRITE,
	};
	struct uio trailer = {
		.uio_iov = &iov[1],
		.uio_iovcnt = 1,
		.uio_resid = call->trailer_length,
		.uio_segflg = UIO_SYSSPACE,
		.uio_rw = UIO_WRITE,
	};
	struct thread *td = curthread;
	struct file *fp, *sock_fp;
	struct socket *so;
	cap_rights_t rights;
	off_t sent;
	int error, kthread;
	bool faulty;

	so = NULL;
	sent = 0;
	error = fget(td, call->file, cap_rights_init_one(&rights, CAP_PREAD),
	    &fp);
	if (error != 0)
		return (error);
	faulty = call->step != KDK_STEP_NONE || call->space != 0 ||
	    call->shut >= 0;
	if (faulty) {
		error = kdk_fd_socket(call->socket, &sock_fp, &so);
		if (error != 0)
			goto out;
		kdk_faulty.call = call;
		kdk_faulty.passed = 0;
		kdk_faulty.real = so->so_proto;
		kdk_faulty.pr = *so->so_proto;
		kdk_faulty.pr.pr_sendfile_wait = kdk_faulty_wait;
		kdk_faulty.pr.pr_send = kdk_faulty_send;
		kdk_faulty.pr.pr_sosend = kdk_faulty_sosend;
		so->so_proto = &kdk_faulty.pr;
	}
	/*
	 * sendfile_iodone() asserts that a request without a read completes
	 * in a thread of a user process.
	 */
	kthread = td->td_pflags & TDP_KTHREAD;
	td->td_pflags &= ~kthread;
	error = fo_sendfile(fp, call->socket,
	    call->header != NULL ? &header : NULL,
	    call->trailer != NULL ? &trailer : NULL, 0, call->length, &sent,
	    call->flags | (call->plain ? 0 : SF_KQUEUE),
	    call->plain ? NULL : &kq, td);
	td->td_pflags |= kthread;
	if (faulty) {
		so->so_proto = kdk_faulty.real;
		fdrop(sock_fp, td);
	}
	call->sent = sent;
out:
	fdrop(fp, td);
	return (error);
}

int
kdk_sendfile_delete(int queue, uintptr_t ident)
{
	struct kevent kev;

	EV_SET(&kev, ident, EVFILT_SENDFILE, EV_DELETE, 0, 0, NULL);
	return (kqfd_register(queue, &kev, curthread, M_WAITOK));
}

/*
 * Mbufs.
 */
static int
kdk_take_unix(struct socket *so, struct mbuf **mp)
{
	struct sockbuf *sb = &so->so_rcv;

	SOCK_RECVBUF_LOCK(so);
	if (sb->uxst_fnrdy != NULL || sb->sb_ctl != 0) {
		SOCK_RECVBUF_UNLOCK(so);
		return (EBUSY);
	}
	*mp = STAILQ_FIRST(&sb->uxst_mbq);
	STAILQ_INIT(&sb->uxst_mbq);
	sb->sb_acc = sb->sb_ccc = sb->sb_mbcnt = 0;
	SOCK_RECVBUF_UNLOCK(so);
	return (0);
}

/* Returns all mbufs that have arrived, or NULL, in *mp. */
int
kdk_socket_take(int fd, struct mbuf **mp)
{
	struct uio uio = { .uio_resid = INT_MAX, .uio_td = curthread };
	struct file *fp;
	struct socket *so;
	int error, flags;

	*mp = NULL;
	error = kdk_fd_socket(fd, &fp, &so);
	if (error != 0)
		return (error);
	if (so->so_proto->pr_domain->dom_family == AF_UNIX) {
		error = kdk_take_unix(so, mp);
	} else {
		/* Receives one record, or all bytes of a stream. */
		flags = MSG_DONTWAIT;
		error = soreceive(so, NULL, &uio, mp, NULL, &flags);
		if (error == EWOULDBLOCK)
			error = 0;
	}
	fdrop(fp, curthread);
	return (error);
}

/* Counts the bytes that the peer has not acknowledged. */
int
kdk_socket_unsent(int fd, int64_t *bytes)
{
	struct file *fp;
	struct socket *so;
	int error;

	error = kdk_fd_socket(fd, &fp, &so);
	if (error != 0)
		return (error);
	SOCK_SENDBUF_LOCK(so);
	*bytes = sbused(&so->so_snd);
	SOCK_SENDBUF_UNLOCK(so);
	fdrop(fp, curthread);
	return (0);
}

/* Removes the first mbuf from its chain and returns the rest. */
struct mbuf *
kdk_mbuf_unlink(struct mbuf *m)
{
	struct mbuf *rest;

	rest = m->m_next;
	m->m_next = NULL;
	return (rest);
}

/* Returns another chain that refers to the same external storage. */
struct mbuf *
kdk_mbuf_share(struct mbuf *m)
{

	return (m_copym(m, 0, M_COPYALL, M_WAITOK));
}

/* Finds the count of references to the first mbuf's external storage, if any. */
static volatile u_int *
kdk_mbuf_counter(struct mbuf *m)
{

	if ((m->m_flags & (M_EXT | M_EXTPG)) == 0)
		return (NULL);
	return ((m->m_ext.ext_flags & EXT_FLAG_EMBREF) != 0 ?
	    &m->m_ext.ext_count : m->m_ext.ext_cnt);
}

u_int
kdk_mbuf_references(struct mbuf *m)
{
	volatile u_int *counter;

	counter = kdk_mbuf_counter(m);
	return (counter == NULL ? 0 : *counter);
}

/* Storage is known by its counter. */
const volatile void *
kdk_mbuf_storage(struct mbuf *m)
{

	return (kdk_mbuf_counter(m));
}

static void
kdk_free_with_socket(struct mbuf *m, int hold, struct socket *so)
{
	struct unpcb *unp;
	struct inpcb *inp;

	switch (hold) {
	case KDK_HOLD_SEND_BUFFER:
		SOCK_SENDBUF_LOCK(so);
		m_freem(m);
		SOCK_SENDBUF_UNLOCK(so);
		break;
	case KDK_HOLD_RECEIVE_BUFFER:
		SOCK_RECVBUF_LOCK(so);
		m_freem(m);
		SOCK_RECVBUF_UNLOCK(so);
		break;
	case KDK_HOLD_INPCB:
		inp = sotoinpcb(so);
		INP_WLOCK(inp);
		m_freem(m);
		INP_WUNLOCK(inp);
		break;
	default:
		unp = sotounpcb(so);
		mtx_lock(&unp->unp_mtx);
		m_freem(m);
		mtx_unlock(&unp->unp_mtx);
		break;
	}
}

/* Frees a chain under a lock, which for some kinds is one of 'fd'. */
int
kdk_mbuf_free_under(struct mbuf *m, int hold, int fd)
{
	struct rm_priotracker tracker;
	struct epoch_tracker et;
	struct file *fp;
	struct socket *so;
	int error;

	switch (hold) {
	case KDK_HOLD_MUTEX:
		mtx_lock(&kdk_module_mtx);
		m_freem(m);
		mtx_unlock(&kdk_module_mtx);
		return (0);
	case KDK_HOLD_RWLOCK:
		rw_wlock(&kdk_rw);
		m_freem(m);
		rw_wunlock(&kdk_rw);
		return (0);
	case KDK_HOLD_RMLOCK:
		rm_rlock(&kdk_rm, &tracker);
		m_freem(m);
		rm_runlock(&kdk_rm, &tracker);
		return (0);
	case KDK_HOLD_SX:
		sx_xlock(&kdk_sx);
		m_freem(m);
		sx_xunlock(&kdk_sx);
		return (0);
	case KDK_HOLD_EPOCH:
		NET_EPOCH_ENTER(et);
		m_freem(m);
		NET_EPOCH_EXIT(et);
		return (0);
	}
	error = kdk_fd_socket(fd, &fp, &so);
	if (error == 0) {
		kdk_free_with_socket(m, hold, so);
		fdrop(fp, curthread);
	} else
		m_freem(m);
	return (error);
}
#endif
