/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * sendfile(2) with SF_KQUEUE, and what it needs, from a kernel thread.  In
 * trees without it this file declares nothing; build.rs sees that in the
 * bindings.  SF_KQUEUE in trees of 2014 is a different flag.
 */
#ifndef _KDK_SENDFILE_H_
#define	_KDK_SENDFILE_H_

#if __FreeBSD_version >= 1500000 && defined(SF_KQUEUE)
#define	KDK_HAVE_SENDFILE_KQUEUE

/* The step of a call that fails. */
#define	KDK_STEP_NONE	0
#define	KDK_STEP_WAIT	1	/* pr_sendfile_wait(), which looks for space */
#define	KDK_STEP_SEND	2	/* pr_send() */
#define	KDK_STEP_TRAILER 3	/* pr_sosend() */

/* One call of fo_sendfile(), with descriptors of the thread's process. */
struct kdk_sendfile {
	int		file;
	int		socket;
	int		queue;
	int		flags;		/* besides SF_KQUEUE */
	uintptr_t	ident;
	uint32_t	event_flags;
	size_t		length;
	const void	*header;	/* kernel memory, or NULL */
	size_t		header_length;
	const void	*trailer;	/* kernel memory, or NULL */
	size_t		trailer_length;
	int		space;		/* most bytes at a time, 0 for no limit */
	int		step;		/* KDK_STEP_* */
	u_int		passes;		/* of that step that succeed first */
	int		error;		/* errno value of the failure */
	int		plain;		/* without SF_KQUEUE */
	int		shut;		/* socket to shut down before pr_send(), or -1 */
	int64_t		sent;		/* out, bytes */
};

/* The direction of a shutdown, see shutdown(2). */
#define	KDK_SHUT_INPUT	0
#define	KDK_SHUT_OUTPUT	1
#define	KDK_SHUT_BOTH	2

/* The lock under which mbufs are freed. */
#define	KDK_HOLD_MUTEX		0
#define	KDK_HOLD_RWLOCK		1
#define	KDK_HOLD_RMLOCK		2	/* as reader */
#define	KDK_HOLD_SX		3
#define	KDK_HOLD_EPOCH		4	/* net epoch */
#define	KDK_HOLD_SEND_BUFFER	5	/* 5 to 7: of a connected TCP socket */
#define	KDK_HOLD_RECEIVE_BUFFER	6
#define	KDK_HOLD_INPCB		7
#define	KDK_HOLD_UNPCB		8	/* of a unix(4) socket */

/* Each returns an errno value or 0, and a new descriptor in *fd. */
int	 kdk_fd_unix_pair(int fd[2]);
int	 kdk_fd_tcp_pair(int fd[2]);
int	 kdk_fd_tcp_listener(int *fd);
int	 kdk_fd_shared_memory(size_t length, int *fd);
/* Connects a socket to a new one, which it returns, through a listener. */
int	 kdk_fd_unix_connect(int fd, int *peer);
int	 kdk_fd_unix(int *fd);
int	 kdk_fd_shutdown(int fd, int how);
/* Takes the pending error of a socket, see SO_ERROR. */
int	 kdk_fd_error(int fd, int *error);
/* Send and receive without waiting. */
int	 kdk_fd_send(int fd, const void *bytes, size_t length);
/* Sends the descriptor 'passed' over unix(4), with a byte. */
int	 kdk_fd_send_descriptor(int fd, int passed);
int	 kdk_fd_receive(int fd, void *bytes, size_t room, size_t *length);

int	 kdk_sendfile(struct kdk_sendfile *call);
/* Deletes the first event with this identifier (EV_DELETE). */
int	 kdk_sendfile_delete(int queue, uintptr_t ident);

/* The mbufs of a socket's receive buffer. */
int	 kdk_socket_take(int fd, struct mbuf **mp);
int	 kdk_socket_unsent(int fd, int64_t *bytes);
struct mbuf *kdk_mbuf_unlink(struct mbuf *m);
struct mbuf *kdk_mbuf_share(struct mbuf *m);
u_int	 kdk_mbuf_references(struct mbuf *m);
const volatile void *kdk_mbuf_storage(struct mbuf *m);
int	 kdk_mbuf_free_under(struct mbuf *m, int hold, int fd);
#endif

#endif /* !_KDK_SENDFILE_H_ */
