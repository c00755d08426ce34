/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Reads of a file that wait for a test, and output that fails: what makes the
 * asynchronous part of sendfile(2) deterministic.
 */
#ifndef _KDK_READS_H_
#define	_KDK_READS_H_

#ifdef KDK_HAVE_SENDFILE_KQUEUE
struct kdk_reads;
struct kdk_blocked;

/*
 * Lets the pages of a shared memory object be read from a pager whose reads
 * wait for kdk_reads_complete().  A read has at most 'most' pages.  Sleeps, and
 * returns an errno value or 0.
 */
int	 kdk_reads_open(int fd, int most, struct kdk_reads **readsp);
/* Lets the reads that wait fail. */
void	 kdk_reads_close(struct kdk_reads *reads);
u_int	 kdk_reads_waiting(struct kdk_reads *reads);
/*
 * Completes the read with this number, in the order of their start, with zeros
 * or an error: ENOENT if there are fewer.
 */
int	 kdk_reads_complete(struct kdk_reads *reads, u_int number, int error);

/*
 * Lets the output of all data of a TCP socket over IPv4 fail with EACCES, as a
 * firewall does.
 */
int	 kdk_blocked_open(int fd, struct kdk_blocked **blockedp);
void	 kdk_blocked_close(struct kdk_blocked *blocked);
#endif

#endif /* !_KDK_READS_H_ */
