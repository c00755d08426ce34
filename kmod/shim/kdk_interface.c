/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See kdk_interface.h.
 */
#include "kpi.h"

#ifdef KDK_HAVE_IXGBE
#if __FreeBSD_version >= 1200000
#include <sys/epoch.h>
#endif
#include <sys/endian.h>
#include <sys/socketvar.h>
#include <sys/sockio.h>

#include <net/if.h>
#include <net/ethernet.h>
#include <net/if_dl.h>
#include <net/if_media.h>
#include <net/if_types.h>
#include <net/if_var.h>
#ifdef KDK_PCI_IFLIB
#include <net/if_private.h>
#endif
#include <net/vnet.h>

#include <machine/cpufunc.h>

#include "kdk_mbufq.h"

/* The most taps at one time. */
#define	KDK_TAPS	8
/* The most frames of a tap. */
#define	KDK_TAP_FRAMES	65536

struct kdk_tap {
	if_t		 ifp;
	if_input_fn_t	 input;		/* the function it replaces */
	struct mtx	 mtx;
	struct mbufq	 frames;
	u_int		 lost;
	uint64_t	 arrived;
	uint64_t	 last;		/* time of arrival, by kdk_ticks() */
	int		 blocks;	/* the frame below blocks its thread */
	size_t		 block_at;
	uint32_t	 block_value;
	struct thread	*blocked;	/* the thread that delivers it */
};

static struct kdk_tap	*kdk_taps[KDK_TAPS];
static volatile u_int	kdk_taps_callers;	/* threads in kdk_tap_input() */
static struct mtx	kdk_taps_mtx;
MTX_SYSINIT(kdk_taps, &kdk_taps_mtx, "kdk taps", MTX_DEF);

static if_t
kdk_interface_ref(const char *name)
{
	if_t ifp;

	CURVNET_SET(vnet0);
	ifp = ifunit_ref(name);
	CURVNET_RESTORE();
	return (ifp);
}

/* Calls ioctl(2) as root. */
static int
kdk_interface_ioctl(u_long command, void *data)
{
	struct socket *so;
	int error;

	error = socreate(AF_INET, &so, SOCK_DGRAM, 0, curthread->td_ucred,
	    curthread);
	if (error != 0)
		return (error);
	error = ifioctl(so, command, data, curthread);
	(void)soclose(so);
	return (error);
}

static const char *
kdk_medium(int active)
{
	static const struct ifmedia_description names[] =
	    IFM_SUBTYPE_ETHERNET_DESCRIPTIONS;

	if (IFM_TYPE(active) != IFM_ETHER)
		return ("not Ethernet");
	for (int i = 0; names[i].ifmt_string != NULL; i++)
		if (names[i].ifmt_word == IFM_SUBTYPE(active))
			return (names[i].ifmt_string);
	return ("unknown");
}

int
kdk_interface_get(const char *name, struct kdk_interface *interface)
{
	struct ifmediareq ifmr = {};
	struct epoch_tracker et;
	if_t ifp;
	int error;

	(void)strlcpy(ifmr.ifm_name, name, sizeof(ifmr.ifm_name));
	error = kdk_interface_ioctl(SIOCGIFMEDIA, &ifmr);
	if (error != 0)
		return (error);
	ifp = kdk_interface_ref(name);
	if (ifp == NULL)
		return (ENXIO);
	interface->medium = kdk_medium(ifmr.ifm_active);
	interface->flags = if_getflags(ifp) | if_getdrvflags(ifp);
	interface->link_state = if_getlinkstate(ifp);
	interface->mtu = if_getmtu(ifp);
	interface->baudrate = if_getbaudrate(ifp);
	NET_EPOCH_ENTER(et);
#define	KDK_COUNT(field, counter)					\
	interface->field = if_getcounter(ifp, IFCOUNTER_##counter)
	KDK_COUNT(ipackets, IPACKETS);
	KDK_COUNT(ierrors, IERRORS);
	KDK_COUNT(iqdrops, IQDROPS);
	KDK_COUNT(opackets, OPACKETS);
	KDK_COUNT(oerrors, OERRORS);
#undef	KDK_COUNT
	NET_EPOCH_EXIT(et);
	if_rele(ifp);
	return (0);
}

int
kdk_interface_set_up(const char *name, int up)
{
	struct ifreq ifr = {};
	int error, flags;

	(void)strlcpy(ifr.ifr_name, name, sizeof(ifr.ifr_name));
	error = kdk_interface_ioctl(SIOCGIFFLAGS, &ifr);
	if (error != 0)
		return (error);
	flags = (ifr.ifr_flags & 0xffff) | (ifr.ifr_flagshigh << 16);
	flags = up ? flags | IFF_UP : flags & ~IFF_UP;
	ifr.ifr_flags = flags & 0xffff;
	ifr.ifr_flagshigh = flags >> 16;
	return (kdk_interface_ioctl(SIOCSIFFLAGS, &ifr));
}

int
kdk_interface_set_mtu(const char *name, u_int mtu)
{
	struct ifreq ifr = {};

	(void)strlcpy(ifr.ifr_name, name, sizeof(ifr.ifr_name));
	ifr.ifr_mtu = mtu;
	return (kdk_interface_ioctl(SIOCSIFMTU, &ifr));
}

int
kdk_interface_set_lro(const char *name, int on)
{
	struct ifreq ifr = {};
	int error;

	(void)strlcpy(ifr.ifr_name, name, sizeof(ifr.ifr_name));
	error = kdk_interface_ioctl(SIOCGIFCAP, &ifr);
	if (error != 0)
		return (error);
	ifr.ifr_reqcap = on ? ifr.ifr_curcap | IFCAP_LRO :
	    ifr.ifr_curcap & ~IFCAP_LRO;
	return (kdk_interface_ioctl(SIOCSIFCAP, &ifr));
}

const void *
kdk_interface_link_task(const char *name)
{
	const void *task;
	if_t ifp;

	ifp = kdk_interface_ref(name);
	if (ifp == NULL)
		return (NULL);
	task = &ifp->if_linktask;
	if_rele(ifp);
	return (task);
}

void
kdk_link_tasks_block(void)
{

	taskqueue_drain_all(taskqueue_swi);
	taskqueue_block(taskqueue_swi);
}

void
kdk_link_tasks_unblock(void)
{

	taskqueue_unblock(taskqueue_swi);
}

void
kdk_interfaces_freed(void)
{

	NET_EPOCH_DRAIN_CALLBACKS();
}

#ifdef KDK_PCI_IFLIB
int
kdk_interface_iflib_counters(const char *name, struct kdk_counted *counted)
{
	if_t ifp;

	ifp = kdk_interface_ref(name);
	if (ifp == NULL)
		return (ENXIO);
	counted->ipackets = if_get_counter_default(ifp, IFCOUNTER_IPACKETS);
	counted->ibytes = if_get_counter_default(ifp, IFCOUNTER_IBYTES);
	counted->ierrors = if_get_counter_default(ifp, IFCOUNTER_IERRORS);
	if_rele(ifp);
	return (0);
}
#endif

int
kdk_interface_multicast(const char *name, uint8_t group, int join)
{
	struct sockaddr_dl sdl = {};
	if_t ifp;
	int error;

	ifp = kdk_interface_ref(name);
	if (ifp == NULL)
		return (ENXIO);
	sdl.sdl_len = sizeof(sdl);
	sdl.sdl_family = AF_LINK;
	sdl.sdl_index = if_getindex(ifp);
	sdl.sdl_type = IFT_ETHER;
	sdl.sdl_alen = ETHER_ADDR_LEN;
	memcpy(LLADDR(&sdl), "\x01\x00\x5e\x00\x00", ETHER_ADDR_LEN - 1);
	LLADDR(&sdl)[ETHER_ADDR_LEN - 1] = group;
	CURVNET_SET(vnet0);
	if (join)
		error = if_addmulti(ifp, (struct sockaddr *)&sdl, NULL);
	else
		error = if_delmulti(ifp, (struct sockaddr *)&sdl);
	CURVNET_RESTORE();
	if_rele(ifp);
	return (error);
}

int
kdk_interface_transmit(const char *name, const void *frame, size_t length)
{
	struct epoch_tracker et;
	struct mbuf *m;
	if_t ifp;
	int error;

	m = m_getm2(NULL, length, M_WAITOK, MT_DATA, M_PKTHDR);
	if (m_append(m, length, frame) == 0) {
		m_freem(m);
		return (ENOBUFS);
	}
	ifp = kdk_interface_ref(name);
	if (ifp == NULL) {
		m_freem(m);
		return (ENXIO);
	}
	CURVNET_SET(vnet0);
	NET_EPOCH_ENTER(et);
	error = if_transmit(ifp, m);
	NET_EPOCH_EXIT(et);
	CURVNET_RESTORE();
	if_rele(ifp);
	return (error);
}

/*
 * Taps.
 */
static int
kdk_tap_matches(const struct kdk_tap *tap, const struct mbuf *m)
{
	uint32_t value;

	if (!tap->blocks || m->m_pkthdr.len < tap->block_at + sizeof(value))
		return (0);
	m_copydata(m, tap->block_at, sizeof(value), (caddr_t)&value);
	return (be32toh(value) == tap->block_value);
}

/*
 * Interrupt threads may not sleep.  A test wants this one to, so the check is
 * disabled meanwhile.
 */
static void
kdk_tap_wait(struct kdk_tap *tap)
{
	int forbidden;

	tap->blocked = curthread;
	forbidden = curthread->td_no_sleeping;
	curthread->td_no_sleeping = 0;
	while (tap->blocks)
		(void)msleep(&tap->blocked, &tap->mtx, 0, "kdkblk", 0);
	curthread->td_no_sleeping = forbidden;
	tap->blocked = NULL;
	wakeup(&tap->blocks);
}

static void
kdk_tap_enqueue(struct kdk_tap *tap, struct mbuf *m)
{

	mtx_lock(&tap->mtx);
	if (kdk_tap_matches(tap, m))
		kdk_tap_wait(tap);
	tap->arrived++;
	tap->last = kdk_ticks();
	if (mbufq_enqueue(&tap->frames, m) != 0) {
		tap->lost++;
		m_freem(m);
	}
	mtx_unlock(&tap->mtx);
}

static struct kdk_tap *
kdk_tap_lookup(if_t ifp)
{
	struct kdk_tap *tap;

	for (int i = 0; i < KDK_TAPS; i++) {
		tap = (struct kdk_tap *)atomic_load_acq_ptr(
		    (uintptr_t *)&kdk_taps[i]);
		if (tap != NULL && tap->ifp == ifp)
			return (tap);
	}
	return (NULL);
}

/* Drivers may pass several packets.  kdk_tap_close() waits for callers. */
static void
kdk_tap_input(if_t ifp, struct mbuf *m)
{
	struct kdk_tap *tap;
	struct mbuf *next;

	atomic_add_int(&kdk_taps_callers, 1);
	tap = kdk_tap_lookup(ifp);
	for (; m != NULL; m = next) {
		next = m->m_nextpkt;
		m->m_nextpkt = NULL;
		if (tap != NULL)
			kdk_tap_enqueue(tap, m);
		else
			m_freem(m);
	}
	atomic_subtract_rel_int(&kdk_taps_callers, 1);
}

/* Replaces 'old' by 'new' in the table of taps. */
static int
kdk_tap_replace(struct kdk_tap *old, struct kdk_tap *new)
{
	int i;

	mtx_lock(&kdk_taps_mtx);
	for (i = 0; i < KDK_TAPS; i++)
		if (kdk_taps[i] == old)
			break;
	if (i < KDK_TAPS)
		atomic_store_rel_ptr((uintptr_t *)&kdk_taps[i], (uintptr_t)new);
	mtx_unlock(&kdk_taps_mtx);
	return (i < KDK_TAPS ? 0 : EBUSY);
}

int
kdk_tap_open(const char *name, struct kdk_tap **tapp)
{
	struct kdk_tap *tap;
	int error;

	tap = malloc(sizeof(*tap), M_KDK, M_WAITOK | M_ZERO);
	tap->ifp = kdk_interface_ref(name);
	if (tap->ifp == NULL) {
		error = ENXIO;
		goto fail;
	}
	mtx_init(&tap->mtx, "kdk tap", NULL, MTX_DEF);
	mbufq_init(&tap->frames, KDK_TAP_FRAMES);
	error = kdk_tap_lookup(tap->ifp) != NULL ? EBUSY :
	    kdk_tap_replace(NULL, tap);
	if (error != 0) {
		mtx_destroy(&tap->mtx);
		if_rele(tap->ifp);
		goto fail;
	}
	tap->input = if_getinputfn(tap->ifp);
	if_setinputfn(tap->ifp, kdk_tap_input);
	*tapp = tap;
	return (0);
fail:
	free(tap, M_KDK);
	return (error);
}

void
kdk_tap_block_on(struct kdk_tap *tap, size_t at, uint32_t value)
{

	mtx_lock(&tap->mtx);
	tap->block_at = at;
	tap->block_value = value;
	tap->blocks = 1;
	mtx_unlock(&tap->mtx);
}

const struct thread *
kdk_tap_blocked(struct kdk_tap *tap)
{
	const struct thread *blocked;

	mtx_lock(&tap->mtx);
	blocked = tap->blocked;
	mtx_unlock(&tap->mtx);
	return (blocked);
}

int
kdk_waits_for_tasks(struct thread *thread)
{
	int waits;

	thread_lock(thread);
	waits = TD_IS_SLEEPING(thread) && strcmp(thread->td_wmesg, "-") == 0;
	thread_unlock(thread);
	return (waits);
}

void
kdk_tap_unblock(struct kdk_tap *tap)
{

	mtx_lock(&tap->mtx);
	tap->blocks = 0;
	wakeup(&tap->blocked);
	while (tap->blocked != NULL)
		(void)msleep(&tap->blocks, &tap->mtx, 0, "kdkunb", 0);
	mtx_unlock(&tap->mtx);
}

void
kdk_tap_close(struct kdk_tap *tap)
{

	kdk_tap_unblock(tap);
	if_setinputfn(tap->ifp, tap->input);
	(void)kdk_tap_replace(tap, NULL);
	while (atomic_load_acq_int(&kdk_taps_callers) != 0)
		pause("kdktap", 1);
	mbufq_drain(&tap->frames);
	mtx_destroy(&tap->mtx);
	if_rele(tap->ifp);
	free(tap, M_KDK);
}

int
kdk_tap_take(struct kdk_tap *tap, void *bytes, size_t room,
    struct kdk_tapped *tapped)
{
	struct mbuf *m;
	int error;

	error = kdk_mbufq_take(&tap->frames, &tap->mtx, room, &m);
	if (error != 0)
		return (error);
	tapped->length = m_length(m, NULL);
	tapped->header = m->m_pkthdr.len;
	tapped->mine = m->m_pkthdr.rcvif == tap->ifp;
	tapped->flowid = m->m_pkthdr.flowid;
	tapped->hash_type = M_HASHTYPE_GET(m);
	tapped->csum_flags = m->m_pkthdr.csum_flags;
	tapped->vlan = (m->m_flags & M_VLANTAG) != 0 ?
	    m->m_pkthdr.ether_vtag : -1;
	m_copydata(m, 0, tapped->length, bytes);
	m_freem(m);
	return (0);
}

u_int
kdk_tap_lost(struct kdk_tap *tap)
{
	u_int lost;

	mtx_lock(&tap->mtx);
	lost = tap->lost;
	mtx_unlock(&tap->mtx);
	return (lost);
}

uint64_t
kdk_tap_arrived(struct kdk_tap *tap, uint64_t *last)
{
	uint64_t arrived;

	mtx_lock(&tap->mtx);
	arrived = tap->arrived;
	*last = tap->last;
	mtx_unlock(&tap->mtx);
	return (arrived);
}

uint64_t
kdk_ticks(void)
{

	return (rdtsc());
}
#endif
