/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See kdk_filter.h.
 */
#include "kpi.h"

#ifdef KDK_PCI_IFLIB
#include <sys/epoch.h>

#include <net/if.h>
#include <net/if_var.h>
#include <net/pfil.h>
#include <net/vnet.h>

#include "kdk_mbufq.h"

/* The most calls and chains that are kept. */
#define	KDK_FILTER_CALLS	1024
/*
 * The most bytes that are copied of a frame in the ring.  No buffer is smaller.
 * A defective driver may pass a longer length than the buffer has.
 */
#define	KDK_FILTER_COPIED	2048

struct kdk_filter_call {
	STAILQ_ENTRY(kdk_filter_call) link;
	struct kdk_filtered what;
	u_char		 bytes[];
};

struct kdk_filter {
	struct kdk_filter_rule rule;
	pfil_hook_t	 hook;
	struct mtx	 mtx;
	STAILQ_HEAD(, kdk_filter_call) calls;
	u_int		 ncalls;
	struct mbufq	 consumed;
	u_int		 lost;
};

static void
kdk_filter_lose(struct kdk_filter *filter)
{

	mtx_lock(&filter->mtx);
	filter->lost++;
	mtx_unlock(&filter->mtx);
}

/* Allocates a call with room for its bytes.  May return NULL. */
static struct kdk_filter_call *
kdk_filter_call_alloc(int memory, u_int length, u_int chain, u_int copied)
{
	struct kdk_filter_call *call;

	call = malloc(sizeof(*call) + copied, M_KDK, M_NOWAIT);
	if (call != NULL) {
		call->what.memory = memory;
		call->what.length = length;
		call->what.chain = chain;
		call->what.copied = copied;
	}
	return (call);
}

static void
kdk_filter_record(struct kdk_filter *filter, struct kdk_filter_call *call)
{

	mtx_lock(&filter->mtx);
	if (call != NULL && filter->ncalls < KDK_FILTER_CALLS) {
		STAILQ_INSERT_TAIL(&filter->calls, call, link);
		filter->ncalls++;
		call = NULL;
	} else
		filter->lost++;
	mtx_unlock(&filter->mtx);
	free(call, M_KDK);
}

static bool
kdk_filter_drops(const struct kdk_filter_rule *rule, u_char first)
{

	return (rule->verdict == KDK_FILTER_DROP ||
	    (rule->verdict == KDK_FILTER_DROP_FIRST && first == rule->first));
}

/* Makes the changes of the rule to a copy. */
static void
kdk_filter_change(struct kdk_filter *filter, struct mbuf *m)
{
	u_char byte;

	if (filter->rule.at < m->m_pkthdr.len) {
		m_copydata(m, filter->rule.at, 1, (caddr_t)&byte);
		byte = ~byte;
		m_copyback(m, filter->rule.at, 1, (caddr_t)&byte);
	}
	m_adj(m, -(int)filter->rule.trim);
}

static pfil_return_t
kdk_filter_replace(struct kdk_filter *filter, void *mem, u_int len,
    struct ifnet *ifp, struct mbuf **mp)
{
	struct mbuf *m;

	m = m_devget(mem, len, 0, ifp, NULL);
	if (m == NULL) {
		kdk_filter_lose(filter);
		return (PFIL_PASS);
	}
	kdk_filter_change(filter, m);
	*mp = m;
	return (PFIL_REALLOCED);
}

static pfil_return_t
kdk_filter_mem(void *mem, u_int len, int flags __unused, struct ifnet *ifp,
    void *arg, struct mbuf **mp)
{
	struct kdk_filter *filter = arg;
	struct kdk_filter_call *call;

	call = kdk_filter_call_alloc(1, len, len, MIN(len, KDK_FILTER_COPIED));
	if (call != NULL)
		memcpy(call->bytes, mem, call->what.copied);
	kdk_filter_record(filter, call);
	if (kdk_filter_drops(&filter->rule, *(u_char *)mem))
		return (PFIL_DROPPED);
	switch (filter->rule.verdict) {
	case KDK_FILTER_CONSUME:
		return (PFIL_CONSUMED);
	case KDK_FILTER_REPLACE:
		return (kdk_filter_replace(filter, mem, len, ifp, mp));
	default:
		return (PFIL_PASS);
	}
}

static void
kdk_filter_consume(struct kdk_filter *filter, struct mbuf *m)
{

	mtx_lock(&filter->mtx);
	if (mbufq_enqueue(&filter->consumed, m) != 0) {
		filter->lost++;
		m_freem(m);
	}
	mtx_unlock(&filter->mtx);
}

static pfil_return_t
kdk_filter_mbuf(struct mbuf **mp, struct ifnet *ifp __unused,
    int flags __unused, void *arg, struct inpcb *inp __unused)
{
	struct kdk_filter *filter = arg;
	struct kdk_filter_call *call;
	struct mbuf *m = *mp;
	u_int chain;

	chain = m_length(m, NULL);
	call = kdk_filter_call_alloc(0, m->m_pkthdr.len, chain, chain);
	if (call != NULL)
		m_copydata(m, 0, chain, (caddr_t)call->bytes);
	kdk_filter_record(filter, call);
	if (kdk_filter_drops(&filter->rule, *mtod(m, u_char *))) {
		m_freem(m);
		*mp = NULL;
		return (PFIL_DROPPED);
	}
	if (filter->rule.verdict == KDK_FILTER_CONSUME) {
		kdk_filter_consume(filter, m);
		*mp = NULL;
		return (PFIL_CONSUMED);
	}
	if (filter->rule.verdict == KDK_FILTER_REPLACE) {
		*mp = m_dup(m, M_NOWAIT);
		m_freem(m);
		if (*mp == NULL) {
			kdk_filter_lose(filter);
			return (PFIL_DROPPED);
		}
		kdk_filter_change(filter, *mp);
	}
	return (PFIL_PASS);
}

int
kdk_filter_open(const char *name, const struct kdk_filter_rule *rule,
    struct kdk_filter **filterp)
{
	struct pfil_hook_args hook = {
		.pa_version = PFIL_VERSION,
		.pa_flags = PFIL_IN,
		.pa_type = PFIL_TYPE_ETHERNET,
		.pa_mbuf_chk = kdk_filter_mbuf,
		.pa_mem_chk = kdk_filter_mem,
		.pa_modname = "kdk",
		.pa_rulname = "frames",
	};
	struct pfil_link_args link = {
		.pa_version = PFIL_VERSION,
		.pa_flags = PFIL_IN | PFIL_HOOKPTR,
		.pa_headname = name,
	};
	struct kdk_filter *filter;
	int error;

	filter = malloc(sizeof(*filter), M_KDK, M_WAITOK | M_ZERO);
	filter->rule = *rule;
	mtx_init(&filter->mtx, "kdk filter", NULL, MTX_DEF);
	STAILQ_INIT(&filter->calls);
	mbufq_init(&filter->consumed, KDK_FILTER_CALLS);
	hook.pa_ruleset = filter;
	CURVNET_SET(vnet0);
	link.pa_hook = filter->hook = pfil_add_hook(&hook);
	error = pfil_link(&link);
	CURVNET_RESTORE();
	if (error != 0)
		kdk_filter_close(filter);
	else
		*filterp = filter;
	return (error);
}

void
kdk_filter_close(struct kdk_filter *filter)
{
	struct kdk_filter_call *call;

	CURVNET_SET(vnet0);
	pfil_remove_hook(filter->hook);
	CURVNET_RESTORE();
	/* Wait for callers, and for the link to be freed. */
	NET_EPOCH_WAIT();
	NET_EPOCH_DRAIN_CALLBACKS();
	while ((call = STAILQ_FIRST(&filter->calls)) != NULL) {
		STAILQ_REMOVE_HEAD(&filter->calls, link);
		free(call, M_KDK);
	}
	mbufq_drain(&filter->consumed);
	mtx_destroy(&filter->mtx);
	free(filter, M_KDK);
}

int
kdk_filter_take_call(struct kdk_filter *filter, void *bytes, size_t room,
    struct kdk_filtered *filtered)
{
	struct kdk_filter_call *call;
	int error = 0;

	mtx_lock(&filter->mtx);
	call = STAILQ_FIRST(&filter->calls);
	if (call == NULL)
		error = ENOENT;
	else if (call->what.copied > room)
		error = EMSGSIZE;
	else {
		STAILQ_REMOVE_HEAD(&filter->calls, link);
		filter->ncalls--;
	}
	mtx_unlock(&filter->mtx);
	if (error != 0)
		return (error);
	*filtered = call->what;
	memcpy(bytes, call->bytes, call->what.copied);
	free(call, M_KDK);
	return (0);
}

int
kdk_filter_take_consumed(struct kdk_filter *filter, void *bytes, size_t room,
    struct kdk_filtered *filtered)
{
	struct mbuf *m;
	int error;

	error = kdk_mbufq_take(&filter->consumed, &filter->mtx, room, &m);
	if (error != 0)
		return (error);
	filtered->memory = 0;
	filtered->length = m->m_pkthdr.len;
	filtered->chain = filtered->copied = m_length(m, NULL);
	m_copydata(m, 0, filtered->copied, bytes);
	m_freem(m);
	return (0);
}

u_int
kdk_filter_lost(struct kdk_filter *filter)
{
	u_int lost;

	mtx_lock(&filter->mtx);
	lost = filter->lost;
	mtx_unlock(&filter->mtx);
	return (lost);
}
#endif
