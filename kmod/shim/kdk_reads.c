/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See kdk_reads.h.
 */
#include "kpi.h"

#ifdef KDK_HAVE_SENDFILE_KQUEUE
#include <sys/capsicum.h>
#include <sys/epoch.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/protosw.h>
#include <sys/queue.h>
#include <sys/rwlock.h>
#include <sys/socketvar.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/pmap.h>
#include <vm/vm_object.h>
#include <vm/vm_page.h>
#include <vm/vm_pager.h>

#include <net/if.h>
#include <net/if_var.h>
#include <net/pfil.h>
#include <net/vnet.h>
#include <netinet/in.h>
#include <netinet/in_pcb.h>
#include <netinet/ip.h>
#include <netinet/ip_var.h>
#include <netinet/tcp.h>

/* The most pages of a read. */
#define	KDK_READ_PAGES	16

struct kdk_read {
	TAILQ_ENTRY(kdk_read) link;
	vm_page_t	 pages[KDK_READ_PAGES];
	int		 count;
	pgo_getpages_iodone_t *iodone;
	void		*arg;
};

struct kdk_reads {
	LIST_ENTRY(kdk_reads) link;
	struct pagerops	 ops;
	struct file	*fp;
	vm_object_t	 object;
	int		 type;		/* of the pager */
	int		 own_type;	/* of the object */
	int		 most;		/* pages of a read */
	TAILQ_HEAD(, kdk_read) waiting;
};

/* Protects the list and the reads that wait. */
static struct mtx kdk_reads_mtx;
MTX_SYSINIT(kdk_reads, &kdk_reads_mtx, "kdk reads", MTX_DEF);
static LIST_HEAD(, kdk_reads) kdk_reads_list =
    LIST_HEAD_INITIALIZER(kdk_reads_list);

static struct kdk_reads *
kdk_reads_of(vm_object_t object)
{
	struct kdk_reads *reads;

	mtx_assert(&kdk_reads_mtx, MA_OWNED);
	LIST_FOREACH(reads, &kdk_reads_list, link)
		if (reads->object == object)
			break;
	return (reads);
}

static boolean_t
kdk_reads_has_page(vm_object_t object, vm_pindex_t offset __unused,
    int *before, int *after)
{

	if (before != NULL)
		*before = 0;
	if (after != NULL) {
		mtx_lock(&kdk_reads_mtx);
		*after = kdk_reads_of(object)->most - 1;
		mtx_unlock(&kdk_reads_mtx);
	}
	return (TRUE);
}

static int
kdk_reads_start(vm_object_t object, vm_page_t *pages, int count, int *behind,
    int *ahead, pgo_getpages_iodone_t iodone, void *arg)
{
	struct kdk_reads *reads;
	struct kdk_read *read;

	MPASS(count <= KDK_READ_PAGES);
	if (behind != NULL)
		*behind = 0;
	if (ahead != NULL)
		*ahead = 0;
	read = malloc(sizeof(*read), M_KDK, M_WAITOK);
	memcpy(read->pages, pages, count * sizeof(*pages));
	read->count = count;
	read->iodone = iodone;
	read->arg = arg;
	mtx_lock(&kdk_reads_mtx);
	reads = kdk_reads_of(object);
	MPASS(reads != NULL);
	TAILQ_INSERT_TAIL(&reads->waiting, read, link);
	mtx_unlock(&kdk_reads_mtx);
	return (VM_PAGER_OK);
}

static void
kdk_reads_set_type(vm_object_t object, int type)
{

	VM_OBJECT_WLOCK(object);
	object->type = type;
	VM_OBJECT_WUNLOCK(object);
}

int
kdk_reads_open(int fd, int most, struct kdk_reads **readsp)
{
	struct kdk_reads *reads;
	struct file *fp;
	cap_rights_t rights;
	int error;

	error = fget(curthread, fd, cap_rights_init_one(&rights, CAP_PREAD),
	    &fp);
	if (error != 0)
		return (error);
	if (fp->f_type != DTYPE_SHM) {
		fdrop(fp, curthread);
		return (EINVAL);
	}
	reads = malloc(sizeof(*reads), M_KDK, M_WAITOK | M_ZERO);
	TAILQ_INIT(&reads->waiting);
	reads->most = imax(1, imin(most, KDK_READ_PAGES));
	reads->fp = fp;
	reads->object = ((struct shmfd *)fp->f_data)->shm_object;
	reads->own_type = reads->object->type;
	reads->ops = *pagertab[reads->own_type];
	reads->ops.pgo_haspage = kdk_reads_has_page;
	reads->ops.pgo_getpages_async = kdk_reads_start;
	reads->type = vm_pager_alloc_dyn_type(&reads->ops, -1);
	if (reads->type == -1) {
		fdrop(fp, curthread);
		free(reads, M_KDK);
		return (EAGAIN);
	}
	mtx_lock(&kdk_reads_mtx);
	LIST_INSERT_HEAD(&kdk_reads_list, reads, link);
	mtx_unlock(&kdk_reads_mtx);
	kdk_reads_set_type(reads->object, reads->type);
	*readsp = reads;
	return (0);
}

void
kdk_reads_close(struct kdk_reads *reads)
{

	kdk_reads_set_type(reads->object, reads->own_type);
	while (kdk_reads_complete(reads, 0, EIO) == 0)
		;
	mtx_lock(&kdk_reads_mtx);
	LIST_REMOVE(reads, link);
	mtx_unlock(&kdk_reads_mtx);
	vm_pager_free_dyn_type(reads->type);
	fdrop(reads->fp, curthread);
	free(reads, M_KDK);
}

u_int
kdk_reads_waiting(struct kdk_reads *reads)
{
	struct kdk_read *read;
	u_int count = 0;

	mtx_lock(&kdk_reads_mtx);
	TAILQ_FOREACH(read, &reads->waiting, link)
		count++;
	mtx_unlock(&kdk_reads_mtx);
	return (count);
}

int
kdk_reads_complete(struct kdk_reads *reads, u_int number, int error)
{
	struct kdk_read *read;

	mtx_lock(&kdk_reads_mtx);
	TAILQ_FOREACH(read, &reads->waiting, link)
		if (number-- == 0)
			break;
	if (read != NULL)
		TAILQ_REMOVE(&reads->waiting, read, link);
	mtx_unlock(&kdk_reads_mtx);
	if (read == NULL)
		return (ENOENT);
	for (int i = 0; error == 0 && i < read->count; i++)
		if (read->pages[i] != bogus_page) {
			pmap_zero_page(read->pages[i]);
			vm_page_valid(read->pages[i]);
		}
	read->iodone(read->arg, read->pages, read->count, error);
	free(read, M_KDK);
	return (0);
}

/*
 * Output that fails.
 */
struct kdk_blocked {
	pfil_hook_t	 hook;
	struct file	*fp;
	struct inpcb	*inp;
};

static pfil_return_t
kdk_blocked_check(struct mbuf **mp, struct ifnet *ifp __unused,
    int flags __unused, void *arg, struct inpcb *inp)
{
	struct kdk_blocked *blocked = arg;
	const struct tcphdr *th;
	const struct ip *ip;
	int headers;

	if (inp != blocked->inp)
		return (PFIL_PASS);
	/* tcp_output() writes both headers to the first mbuf. */
	ip = mtod(*mp, struct ip *);
	headers = ip->ip_hl << 2;
	th = (const struct tcphdr *)((const char *)ip + headers);
	headers += th->th_off << 2;
	if (ntohs(ip->ip_len) <= headers)
		return (PFIL_PASS);
	m_freem(*mp);
	*mp = NULL;
	return (PFIL_DROPPED);
}

int
kdk_blocked_open(int fd, struct kdk_blocked **blockedp)
{
	struct pfil_hook_args hook = {
		.pa_version = PFIL_VERSION,
		.pa_flags = PFIL_OUT,
		.pa_type = PFIL_TYPE_IP4,
		.pa_mbuf_chk = kdk_blocked_check,
		.pa_modname = "kdk",
		.pa_rulname = "blocked",
	};
	struct pfil_link_args link = {
		.pa_version = PFIL_VERSION,
		.pa_flags = PFIL_OUT | PFIL_HEADPTR | PFIL_HOOKPTR,
	};
	struct kdk_blocked *blocked;
	struct socket *so;
	struct file *fp;
	cap_rights_t rights;
	int error;

	error = getsock(curthread, fd, cap_rights_init_one(&rights, CAP_SEND),
	    &fp);
	if (error != 0)
		return (error);
	so = fp->f_data;
	if (so->so_proto->pr_protocol != IPPROTO_TCP) {
		fdrop(fp, curthread);
		return (EINVAL);
	}
	blocked = malloc(sizeof(*blocked), M_KDK, M_WAITOK | M_ZERO);
	blocked->fp = fp;
	blocked->inp = sotoinpcb(so);
	hook.pa_ruleset = blocked;
	CURVNET_SET(so->so_vnet);
	link.pa_head = V_inet_pfil_head;
	link.pa_hook = blocked->hook = pfil_add_hook(&hook);
	error = pfil_link(&link);
	CURVNET_RESTORE();
	if (error != 0)
		kdk_blocked_close(blocked);
	else
		*blockedp = blocked;
	return (error);
}

void
kdk_blocked_close(struct kdk_blocked *blocked)
{

	CURVNET_SET(vnet0);
	pfil_remove_hook(blocked->hook);
	CURVNET_RESTORE();
	/* Wait for callers, and for the link to be freed. */
	NET_EPOCH_WAIT();
	NET_EPOCH_DRAIN_CALLBACKS();
	fdrop(blocked->fp, curthread);
	free(blocked, M_KDK);
}
#endif
