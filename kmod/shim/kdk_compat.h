/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Names of newer trees for the trees of 2014.
 */
#ifndef _KDK_COMPAT_H_
#define	_KDK_COMPAT_H_

#if __FreeBSD_version < 1200000
#define	KDK_2014

typedef u_long rman_res_t;

#define	bus_topo_lock()		mtx_lock(&Giant)
#define	bus_topo_unlock()	mtx_unlock(&Giant)

#define	PCI_MSIX_MSGNUM(ctrl)	(((ctrl) & PCIM_MSIXCTRL_TABLE_SIZE) + 1)

/* An ifnet is accessed directly. */
struct ifnet;
typedef struct ifnet *if_t;
typedef void (*if_input_fn_t)(struct ifnet *, struct mbuf *);
#define	if_getflags(ifp)	((ifp)->if_flags)
#define	if_getdrvflags(ifp)	((ifp)->if_drv_flags)
#define	if_getlinkstate(ifp)	((ifp)->if_link_state)
#define	if_getindex(ifp)	((ifp)->if_index)
#define	if_getmtu(ifp)		((ifp)->if_mtu)
#define	if_getbaudrate(ifp)	((ifp)->if_baudrate)
#define	if_getcounter(ifp, counter) ((ifp)->counter)
#define	IFCOUNTER_IPACKETS	if_ipackets
#define	IFCOUNTER_IERRORS	if_ierrors
#define	IFCOUNTER_IQDROPS	if_iqdrops
#define	IFCOUNTER_OPACKETS	if_opackets
#define	IFCOUNTER_OERRORS	if_oerrors
#define	if_getinputfn(ifp)	((ifp)->if_input)
#define	if_setinputfn(ifp, fn)	((ifp)->if_input = (fn))
#define	if_transmit(ifp, m)	((ifp)->if_transmit)((ifp), (m))

/* There is no epoch(9). */
struct epoch_tracker {
};
#define	NET_EPOCH_ENTER(et)	((void)&(et))
#define	NET_EPOCH_EXIT(et)	((void)&(et))
#define	NET_EPOCH_DRAIN_CALLBACKS()	((void)0)

/* A queue of packets with a limit, see mbuf(9). */
struct mbufq {
	struct mbuf	*mq_first;
	struct mbuf	**mq_last;
	u_int		 mq_len;
	u_int		 mq_max;
};

static __inline void
mbufq_init(struct mbufq *mq, u_int max)
{

	mq->mq_first = NULL;
	mq->mq_last = &mq->mq_first;
	mq->mq_len = 0;
	mq->mq_max = max;
}

static __inline int
mbufq_enqueue(struct mbufq *mq, struct mbuf *m)
{

	if (mq->mq_len == mq->mq_max)
		return (ENOBUFS);
	m->m_nextpkt = NULL;
	*mq->mq_last = m;
	mq->mq_last = &m->m_nextpkt;
	mq->mq_len++;
	return (0);
}

static __inline struct mbuf *
mbufq_first(const struct mbufq *mq)
{

	return (mq->mq_first);
}

static __inline struct mbuf *
mbufq_dequeue(struct mbufq *mq)
{
	struct mbuf *m;

	m = mq->mq_first;
	if (m != NULL) {
		mq->mq_first = m->m_nextpkt;
		if (mq->mq_first == NULL)
			mq->mq_last = &mq->mq_first;
		m->m_nextpkt = NULL;
		mq->mq_len--;
	}
	return (m);
}

static __inline void
mbufq_drain(struct mbufq *mq)
{
	struct mbuf *m;

	while ((m = mbufq_dequeue(mq)) != NULL)
		m_freem(m);
}
#endif

#endif /* !_KDK_COMPAT_H_ */
