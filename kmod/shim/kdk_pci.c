/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * See kdk_pci.h.  The bus is a child of root0, like nexus0: a child of nexus0
 * would need resources of the machine.  Its devclass, kdkpci, keeps the driver
 * from the machine's NICs, and the kernel's drivers from this NIC.
 */
#include "kpi.h"

#ifdef KDK_HAVE_IXGBE
#include <sys/bus.h>
#include <sys/rman.h>

#include <machine/bus.h>
#include <machine/resource.h>

#include <dev/pci/pcireg.h>
#include <dev/pci/pcivar.h>

#include <net/if.h>
#include <net/if_var.h>
#include <net/vnet.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <netinet6/ip6_var.h>

#include "bus_if.h"
#include "device_if.h"
#include "pci_if.h"

#include "kdk_compat.h"
#include "kdk_dma.h"
#include "kdk_vector.h"

/* More bytes than any of the NIC's capabilities has. */
#define	KDK_BAR_SIZE	0x100000ul

struct kdk_pci {
	device_t	 bus;
	device_t	 card;
	uintptr_t	 nic;
	struct rman	 memory;
	struct rman	 interrupts;
	struct resource	*bars[PCIR_MAX_BAR_0 + 1];
	struct resource	*irqs[KDK_PCI_VECTORS + 1];
	u_int		 handlers;
	int		 messages;
	u_int		 stray;
	int		 without_msix;
	bus_dma_tag_t	 dma;		/* the parent of the driver's tags */
	struct kdk_vector vectors[KDK_PCI_VECTORS];
	uint8_t		 busy[MAXCPU];	/* that CPU handles interrupts */
};

static struct kdk_pci *
kdk_pci_of(device_t bus)
{

	return (device_get_ivars(bus));
}

static uint32_t
kdk_config(struct kdk_pci *pci, int reg, int width)
{

	return (kdk_nic_config_read(pci->nic, reg, width));
}

/*
 * Interrupts.  The resource id of a message is its number plus 1, as on pci(4).
 * Resource 0 is the interrupt line; it is the first message here.
 */
static struct kdk_vector *
kdk_vector_of(struct kdk_pci *pci, struct resource *irq)
{
	rman_res_t rid;

	rid = rman_get_start(irq);
	return (&pci->vectors[rid == 0 ? 0 : rid - 1]);
}

void
kdk_pci_interrupt(struct kdk_pci *pci)
{
	int vector;

	critical_enter();
	if (!pci->busy[curcpu]) {
		pci->busy[curcpu] = 1;
		while ((vector = kdk_nic_take_interrupt(pci->nic)) >= 0)
			if (vector < KDK_PCI_VECTORS &&
			    !kdk_vector_fire(&pci->vectors[vector]))
				atomic_add_int(&pci->stray, 1);
		pci->busy[curcpu] = 0;
	}
	critical_exit();
}

static int
kdk_setup_intr(device_t bus, device_t child, struct resource *irq,
    int flags, driver_filter_t *filter, driver_intr_t *handler,
    void *arg, void **cookiep)
{
	struct kdk_pci *pci = kdk_pci_of(bus);
	struct kdk_vector *vector = kdk_vector_of(pci, irq);
	char name[MAXCOMLEN + 1];
	int error;

	(void)snprintf(name, sizeof(name), "%s:%d",
	    device_get_nameunit(child), (int)(vector - pci->vectors));
	error = kdk_vector_set(vector, name, flags, filter, handler, arg);
	if (error != 0)
		return (error);
	pci->handlers++;
	*cookiep = vector;
	return (0);
}

static int
kdk_teardown_intr(device_t bus, device_t child __unused, struct resource *irq,
    void *cookie)
{
	struct kdk_pci *pci = kdk_pci_of(bus);
	struct kdk_vector *vector = kdk_vector_of(pci, irq);

	if (cookie != vector || !kdk_vector_is_set(vector))
		return (EINVAL);
	kdk_vector_clear(vector);
	pci->handlers--;
	return (0);
}

static int
kdk_bind_intr(device_t bus, device_t child __unused, struct resource *irq,
    int cpu)
{

	return (kdk_vector_bind(kdk_vector_of(kdk_pci_of(bus), irq), cpu));
}

static int
kdk_describe_intr(device_t bus __unused, device_t child __unused,
    struct resource *irq __unused, void *cookie __unused,
    const char *descr __unused)
{

	return (0);
}

/*
 * Resources.
 */
static struct resource *
kdk_alloc_memory(struct kdk_pci *pci, device_t child, int rid, u_int flags)
{
	struct resource *res;
	rman_res_t start;
	u_int bar;

	bar = PCI_RID2BAR(rid);
	/* Of one that the card does not have nothing can be written. */
	if (rid != PCIR_BAR(bar) || bar > PCIR_MAX_BAR_0 ||
	    pci->bars[bar] != NULL || kdk_config(pci, rid, 4) == 0)
		return (NULL);
	start = bar * KDK_BAR_SIZE;
	res = rman_reserve_resource(&pci->memory, start,
	    start + KDK_BAR_SIZE - 1, KDK_BAR_SIZE, flags, child);
	if (res != NULL) {
		rman_set_bustag(res, X86_BUS_SPACE_MEM);
		/* The other ones are used by the bus alone. */
		rman_set_bushandle(res, bar == 0 ? pci->nic : 0);
		pci->bars[bar] = res;
	}
	return (res);
}

static struct resource *
kdk_alloc_irq(struct kdk_pci *pci, device_t child, int rid, u_int flags)
{
	struct resource *res;

	if (pci->messages == 0 ? rid != 0 : rid < 1 || rid > pci->messages)
		return (NULL);
	if (pci->irqs[rid] != NULL)
		return (NULL);
	res = rman_reserve_resource(&pci->interrupts, rid, rid, 1, flags,
	    child);
	pci->irqs[rid] = res;
	return (res);
}

static struct resource *
kdk_alloc_resource(device_t bus, device_t child, int type, int *rid,
    rman_res_t start __unused, rman_res_t end __unused,
    rman_res_t count __unused, u_int flags)
{
	struct kdk_pci *pci = kdk_pci_of(bus);
	struct resource *res;

	switch (type) {
	case SYS_RES_MEMORY:
		res = kdk_alloc_memory(pci, child, *rid, flags & ~RF_ACTIVE);
		break;
	case SYS_RES_IRQ:
		res = kdk_alloc_irq(pci, child, *rid, flags & ~RF_ACTIVE);
		break;
	default:
		return (NULL);
	}
	if (res == NULL)
		return (NULL);
	rman_set_rid(res, *rid);
#ifndef KDK_2014
	rman_set_type(res, type);
#endif
	/* Activation needs no action, so it cannot fail. */
	if ((flags & RF_ACTIVE) != 0)
		(void)rman_activate_resource(res);
	return (res);
}

/* Methods of 2014 also get the type and the id, which the resource has. */
#ifdef KDK_2014
#define	KDK_TYPE_AND_RID	int type __unused, int rid __unused,
#else
#define	KDK_TYPE_AND_RID
#endif

static int
kdk_activate_resource(device_t bus __unused, device_t child __unused,
    KDK_TYPE_AND_RID struct resource *res)
{

	return (rman_activate_resource(res));
}

static int
kdk_deactivate_resource(device_t bus __unused, device_t child __unused,
    KDK_TYPE_AND_RID struct resource *res)
{

	return (rman_deactivate_resource(res));
}

static int
kdk_release(struct resource **place)
{
	int error;

	if ((rman_get_flags(*place) & RF_ACTIVE) != 0)
		(void)rman_deactivate_resource(*place);
	error = rman_release_resource(*place);
	if (error == 0)
		*place = NULL;
	return (error);
}

static struct resource **
kdk_place_of(struct resource **places, u_int length, struct resource *res)
{

	for (u_int i = 0; i < length; i++)
		if (places[i] == res)
			return (&places[i]);
	return (NULL);
}

static int
kdk_release_resource(device_t bus, device_t child __unused,
    KDK_TYPE_AND_RID struct resource *res)
{
	struct kdk_pci *pci = kdk_pci_of(bus);
	struct resource **place;

	place = kdk_place_of(pci->bars, nitems(pci->bars), res);
	if (place == NULL)
		place = kdk_place_of(pci->irqs, nitems(pci->irqs), res);
	return (place != NULL ? kdk_release(place) : EINVAL);
}

static u_int
kdk_count(struct resource *const *places, u_int length)
{
	u_int count = 0;

	for (u_int i = 0; i < length; i++)
		if (places[i] != NULL)
			count++;
	return (count);
}

static u_int
kdk_release_all(struct resource **places, u_int length)
{
	u_int count;

	count = kdk_count(places, length);
	for (u_int i = 0; i < length; i++)
		if (places[i] != NULL)
			(void)kdk_release(&places[i]);
	return (count);
}

static u_int
kdk_irqs(const struct kdk_pci *pci)
{

	return (kdk_count(pci->irqs, nitems(pci->irqs)));
}

static bus_dma_tag_t
kdk_get_dma_tag(device_t bus, device_t child __unused)
{

	return (kdk_pci_of(bus)->dma);
}

/*
 * Configuration space.
 */
static uint32_t
kdk_read_config(device_t bus, device_t child __unused, int reg, int width)
{

	return (kdk_config(kdk_pci_of(bus), reg, width));
}

static void
kdk_write_config(device_t bus, device_t child __unused, int reg,
    uint32_t value, int width)
{

	kdk_nic_config_write(kdk_pci_of(bus)->nic, reg, value, width);
}

static void
kdk_command(struct kdk_pci *pci, uint16_t set, uint16_t clear)
{
	uint16_t command;

	command = kdk_config(pci, PCIR_COMMAND, 2);
	kdk_nic_config_write(pci->nic, PCIR_COMMAND, (command & ~clear) | set,
	    2);
}

static int
kdk_enable_busmaster(device_t bus, device_t child __unused)
{

	kdk_command(kdk_pci_of(bus), PCIM_CMD_BUSMASTEREN, 0);
	return (0);
}

static int
kdk_disable_busmaster(device_t bus, device_t child __unused)
{

	kdk_command(kdk_pci_of(bus), 0, PCIM_CMD_BUSMASTEREN);
	return (0);
}

static int
kdk_find_cap(device_t bus, device_t child __unused, int capability,
    int *capreg)
{
	struct kdk_pci *pci = kdk_pci_of(bus);
	int reg;

	if ((kdk_config(pci, PCIR_STATUS, 2) & PCIM_STATUS_CAPPRESENT) == 0)
		return (ENXIO);
	/* Configuration space has no room for more capabilities. */
	reg = kdk_config(pci, PCIR_CAP_PTR, 1);
	for (int i = 0; i < 48 && reg != 0; i++) {
		if (kdk_config(pci, reg + PCICAP_ID, 1) == capability) {
			if (capreg != NULL)
				*capreg = reg;
			return (0);
		}
		reg = kdk_config(pci, reg + PCICAP_NEXTPTR, 1);
	}
	return (ENOENT);
}

static int
kdk_read_ivar(device_t bus, device_t child __unused, int which,
    uintptr_t *result)
{
	static const struct {
		uint8_t	reg;
		uint8_t	width;
	} places[] = {
		[PCI_IVAR_SUBVENDOR] =	{ PCIR_SUBVEND_0, 2 },
		[PCI_IVAR_SUBDEVICE] =	{ PCIR_SUBDEV_0, 2 },
		[PCI_IVAR_VENDOR] =	{ PCIR_VENDOR, 2 },
		[PCI_IVAR_DEVICE] =	{ PCIR_DEVICE, 2 },
		[PCI_IVAR_DEVID] =	{ PCIR_DEVVENDOR, 4 },
		[PCI_IVAR_CLASS] =	{ PCIR_CLASS, 1 },
		[PCI_IVAR_SUBCLASS] =	{ PCIR_SUBCLASS, 1 },
		[PCI_IVAR_PROGIF] =	{ PCIR_PROGIF, 1 },
		[PCI_IVAR_REVID] =	{ PCIR_REVID, 1 },
		[PCI_IVAR_INTPIN] =	{ PCIR_INTPIN, 1 },
		[PCI_IVAR_IRQ] =	{ PCIR_INTLINE, 1 },
		[PCI_IVAR_CMDREG] =	{ PCIR_COMMAND, 2 },
		[PCI_IVAR_CACHELNSZ] =	{ PCIR_CACHELNSZ, 1 },
		[PCI_IVAR_MINGNT] =	{ PCIR_MINGNT, 1 },
		[PCI_IVAR_MAXLAT] =	{ PCIR_MAXLAT, 1 },
		[PCI_IVAR_LATTIMER] =	{ PCIR_LATTIMER, 1 },
	};

	switch (which) {
	case PCI_IVAR_DOMAIN:
	case PCI_IVAR_SLOT:
	case PCI_IVAR_FUNCTION:
		*result = 0;
		return (0);
	case PCI_IVAR_BUS:
		*result = device_get_unit(bus);
		return (0);
	default:
		if (which < 0 || which >= nitems(places) ||
		    places[which].width == 0)
			return (ENOENT);
		*result = kdk_config(kdk_pci_of(bus), places[which].reg,
		    places[which].width);
		return (0);
	}
}

static int
kdk_write_ivar(device_t bus __unused, device_t child __unused,
    int which __unused, uintptr_t value __unused)
{

	return (EINVAL);
}

/*
 * MSI-X and MSI.
 */
static int
kdk_msix_count(device_t bus, device_t child)
{
	int reg;

	if (kdk_pci_of(bus)->without_msix ||
	    kdk_find_cap(bus, child, PCIY_MSIX, &reg) != 0)
		return (0);
	return (PCI_MSIX_MSGNUM(kdk_config(kdk_pci_of(bus),
	    reg + PCIR_MSIX_CTRL, 2)));
}

#ifndef KDK_2014
static int
kdk_msix_bar(device_t bus, device_t child, int where)
{
	uint32_t place;
	int reg;

	if (kdk_find_cap(bus, child, PCIY_MSIX, &reg) != 0)
		return (-1);
	place = kdk_config(kdk_pci_of(bus), reg + where, 4);
	return (PCIR_BAR(place & PCIM_MSIX_BIR_MASK));
}

static int
kdk_msix_table_bar(device_t bus, device_t child)
{

	return (kdk_msix_bar(bus, child, PCIR_MSIX_TABLE));
}

static int
kdk_msix_pba_bar(device_t bus, device_t child)
{

	return (kdk_msix_bar(bus, child, PCIR_MSIX_PBA));
}
#endif

/* Sets or clears a bit in the control word of a capability. */
static void
kdk_message_control(device_t bus, device_t child, int capability, int where,
    uint16_t bit, int enable)
{
	struct kdk_pci *pci = kdk_pci_of(bus);
	uint32_t control;
	int reg;

	if (kdk_find_cap(bus, child, capability, &reg) != 0)
		return;
	control = kdk_config(pci, reg + where, 2) & ~bit;
	if (enable)
		control |= bit;
	kdk_nic_config_write(pci->nic, reg + where, control, 2);
}

static int
kdk_may_alloc(const struct kdk_pci *pci, int count)
{

	if (count < 1)
		return (EINVAL);
	return (pci->messages != 0 || kdk_irqs(pci) != 0 ? ENXIO : 0);
}

static int
kdk_alloc_msix(device_t bus, device_t child, int *count)
{
	struct kdk_pci *pci = kdk_pci_of(bus);
	int error, most;

	error = kdk_may_alloc(pci, *count);
	if (error != 0)
		return (error);
	most = MIN(kdk_msix_count(bus, child), KDK_PCI_VECTORS);
	if (most == 0)
		return (ENODEV);
	*count = pci->messages = MIN(*count, most);
	kdk_message_control(bus, child, PCIY_MSIX, PCIR_MSIX_CTRL,
	    PCIM_MSIXCTRL_MSIX_ENABLE, 1);
	return (0);
}

/* The NIC has one MSI message. */
static int
kdk_alloc_msi(device_t bus, device_t child, int *count)
{
	struct kdk_pci *pci = kdk_pci_of(bus);
	int error;

	error = kdk_may_alloc(pci, *count);
	if (error != 0)
		return (error);
	if (kdk_find_cap(bus, child, PCIY_MSI, NULL) != 0)
		return (ENODEV);
	*count = pci->messages = 1;
	kdk_message_control(bus, child, PCIY_MSI, PCIR_MSI_CTRL,
	    PCIM_MSICTRL_MSI_ENABLE, 1);
	return (0);
}

static int
kdk_release_msi(device_t bus, device_t child)
{
	struct kdk_pci *pci = kdk_pci_of(bus);

	if (pci->messages == 0)
		return (ENODEV);
	if (kdk_irqs(pci) != 0)
		return (EBUSY);
	kdk_message_control(bus, child, PCIY_MSIX, PCIR_MSIX_CTRL,
	    PCIM_MSIXCTRL_MSIX_ENABLE, 0);
	kdk_message_control(bus, child, PCIY_MSI, PCIR_MSI_CTRL,
	    PCIM_MSICTRL_MSI_ENABLE, 0);
	pci->messages = 0;
	return (0);
}

/*
 * The device interface of the bus.
 */
static int
kdk_bus_probe(device_t bus)
{

	if (kdk_pci_of(bus) == NULL)
		return (ENXIO);
	device_set_desc(bus, "kdk software PCI bus");
	return (BUS_PROBE_SPECIFIC);
}

static int
kdk_bus_attach(device_t bus)
{
	struct kdk_pci *pci = kdk_pci_of(bus);
	device_t card;
	int error;

	card = device_add_child(bus, NULL, -1);
	if (card == NULL)
		return (ENOMEM);
	error = device_probe_and_attach(card);
	if (error != 0)
		(void)device_delete_child(bus, card);
	else
		pci->card = card;
	return (error);
}

/* The NIC detaches before its bus. */
static int
kdk_bus_detach(device_t bus)
{

	return (kdk_pci_of(bus)->card != NULL ? EBUSY : 0);
}

static device_method_t kdk_pci_methods[] = {
	DEVMETHOD(device_probe,		kdk_bus_probe),
	DEVMETHOD(device_attach,	kdk_bus_attach),
	DEVMETHOD(device_detach,	kdk_bus_detach),

	DEVMETHOD(bus_read_ivar,	kdk_read_ivar),
	DEVMETHOD(bus_write_ivar,	kdk_write_ivar),
	DEVMETHOD(bus_alloc_resource,	kdk_alloc_resource),
	DEVMETHOD(bus_activate_resource, kdk_activate_resource),
	DEVMETHOD(bus_deactivate_resource, kdk_deactivate_resource),
	DEVMETHOD(bus_release_resource,	kdk_release_resource),
	DEVMETHOD(bus_setup_intr,	kdk_setup_intr),
	DEVMETHOD(bus_teardown_intr,	kdk_teardown_intr),
	DEVMETHOD(bus_bind_intr,	kdk_bind_intr),
	DEVMETHOD(bus_describe_intr,	kdk_describe_intr),
	DEVMETHOD(bus_get_dma_tag,	kdk_get_dma_tag),

	DEVMETHOD(pci_read_config,	kdk_read_config),
	DEVMETHOD(pci_write_config,	kdk_write_config),
	DEVMETHOD(pci_enable_busmaster,	kdk_enable_busmaster),
	DEVMETHOD(pci_disable_busmaster, kdk_disable_busmaster),
	DEVMETHOD(pci_find_cap,		kdk_find_cap),
	DEVMETHOD(pci_msix_count,	kdk_msix_count),
#ifndef KDK_2014
	DEVMETHOD(pci_msix_table_bar,	kdk_msix_table_bar),
	DEVMETHOD(pci_msix_pba_bar,	kdk_msix_pba_bar),
#endif
	DEVMETHOD(pci_alloc_msi,	kdk_alloc_msi),
	DEVMETHOD(pci_alloc_msix,	kdk_alloc_msix),
	DEVMETHOD(pci_release_msi,	kdk_release_msi),

	DEVMETHOD_END
};

static driver_t kdk_pci_driver = {
	"kdkpci",
	kdk_pci_methods,
	0
};

/* The tree's drivers, also of virtual functions, see kdk_ixgbe_io.h. */
#ifdef KDK_2014
extern driver_t *kdk_driver_ixgbe;
#define	kdk_driver_ix	kdk_driver_ixgbe
#else
extern driver_t *kdk_driver_ix;
#endif
extern driver_t *kdk_driver_ixv;

/* The number of buses; the drivers are registered while it is not 0. */
static u_int	kdk_cards;

static int
kdk_drivers_add(void)
{
	devclass_t bus, class, root;
	int error;

	if (kdk_cards++ != 0)
		return (0);
	root = devclass_find("root");
	bus = devclass_create(kdk_pci_driver.name);
	error = devclass_add_driver(bus, kdk_driver_ix, BUS_PASS_DEFAULT,
	    &class);
	if (error != 0)
		goto fail;
	error = devclass_add_driver(bus, kdk_driver_ixv, BUS_PASS_DEFAULT,
	    &class);
	if (error != 0)
		goto fail_ixv;
	error = devclass_add_driver(root, &kdk_pci_driver, BUS_PASS_DEFAULT,
	    &class);
	if (error == 0)
		return (0);
	(void)devclass_delete_driver(bus, kdk_driver_ixv);
fail_ixv:
	(void)devclass_delete_driver(bus, kdk_driver_ix);
fail:
	kdk_cards--;
	return (error);
}

static void
kdk_drivers_delete(void)
{
	devclass_t bus;

	if (--kdk_cards != 0)
		return;
	bus = devclass_find(kdk_pci_driver.name);
	(void)devclass_delete_driver(devclass_find("root"), &kdk_pci_driver);
	(void)devclass_delete_driver(bus, kdk_driver_ixv);
	(void)devclass_delete_driver(bus, kdk_driver_ix);
}

/*
 * Attach and detach.
 */
static int
kdk_pci_init_rman(struct rman *rm, const char *descr, rman_res_t size)
{
	int error;

	rm->rm_type = RMAN_ARRAY;
	rm->rm_descr = descr;
	rm->rm_start = 0;
	rm->rm_end = size - 1;
	error = rman_init(rm);
	if (error != 0)
		return (error);
	error = rman_manage_region(rm, 0, size - 1);
	if (error != 0)
		(void)rman_fini(rm);
	return (error);
}

static void
kdk_pci_free_memory(struct kdk_pci *pci)
{

	if (pci->dma != NULL)
		(void)bus_dma_tag_destroy(pci->dma);
	free(pci, M_KDK);
}

static int
kdk_pci_alloc(uintptr_t nic, u_int flags, u_int refused,
    struct kdk_pci **pcip)
{
	struct kdk_pci *pci;
	int error;

	/* A tag has one table of functions: bounced ones refuse nothing. */
	if ((flags & KDK_PCI_BOUNCED) != 0 && refused != 0)
		return (EINVAL);
	pci = malloc(sizeof(*pci), M_KDK, M_WAITOK | M_ZERO);
	pci->nic = nic;
	pci->without_msix = (flags & KDK_PCI_WITHOUT_MSIX) != 0;
#ifndef KDK_2014
	if ((flags & KDK_PCI_BOUNCED) != 0 || refused != 0) {
		error = kdk_dma_parent(&pci->dma, flags & KDK_PCI_BOUNCED);
		if (error != 0)
			goto fail;
	}
#endif
	error = kdk_pci_init_rman(&pci->memory, "kdk card's memory",
	    (PCIR_MAX_BAR_0 + 1) * KDK_BAR_SIZE);
	if (error != 0)
		goto fail;
	error = kdk_pci_init_rman(&pci->interrupts, "kdk card's interrupts",
	    KDK_PCI_VECTORS + 1);
	if (error != 0) {
		(void)rman_fini(&pci->memory);
		goto fail;
	}
	*pcip = pci;
	return (0);
fail:
	kdk_pci_free_memory(pci);
	return (error);
}

u_int
kdk_pci_free(struct kdk_pci *pci)
{
	u_int forgotten;

	forgotten = kdk_release_all(pci->bars, nitems(pci->bars)) +
	    kdk_release_all(pci->irqs, nitems(pci->irqs)) + pci->handlers +
	    pci->messages;
	(void)rman_fini(&pci->memory);
	(void)rman_fini(&pci->interrupts);
	kdk_pci_free_memory(pci);
	return (forgotten);
}

/*
 * Trees of 2014 give a new interface a link-local IPv6 address.  The stack
 * then sends packets that no test expects, and leaks some of them when the
 * interface detaches.
 */
static int
kdk_swap_linklocal(int on)
{
	int before = on;

#ifdef KDK_2014
	CURVNET_SET(vnet0);
	before = V_ip6_auto_linklocal;
	V_ip6_auto_linklocal = on;
	CURVNET_RESTORE();
#endif
	return (before);
}

static int
kdk_bus_add(struct kdk_pci *pci)
{
	int error, linklocal;

	pci->bus = device_add_child(root_bus, kdk_pci_driver.name, -1);
	if (pci->bus == NULL)
		return (ENOMEM);
	device_set_ivars(pci->bus, pci);
	linklocal = kdk_swap_linklocal(0);
	error = device_probe_and_attach(pci->bus);
	(void)kdk_swap_linklocal(linklocal);
	if (error != 0)
		(void)device_delete_child(root_bus, pci->bus);
	return (error);
}

int
kdk_pci_attach(uintptr_t nic, u_int flags, u_int refused,
    struct kdk_pci **pcip)
{
	struct kdk_pci *pci;
	int error;

	error = kdk_pci_alloc(nic, flags, refused, &pci);
	if (error != 0)
		return (error);
	kdk_ixgbe_fetch_tunables();
	/* The NIC may interrupt as soon as it is attached. */
	*pcip = pci;
	bus_topo_lock();
	error = kdk_drivers_add();
	if (error == 0) {
		if ((flags & KDK_PCI_BOUNCED) != 0)
			kdk_dma_alignment = PAGE_SIZE;
		kdk_dma_countdown = refused;
		error = kdk_bus_add(pci);
		kdk_dma_countdown = 0;
		kdk_dma_alignment = 1;
		if (error != 0)
			kdk_drivers_delete();
	}
	bus_topo_unlock();
	if (error != 0) {
		*pcip = NULL;
		(void)kdk_pci_free(pci);
	}
	return (error);
}

int
kdk_pci_detach(struct kdk_pci *pci)
{
	int error;

	bus_topo_lock();
	error = device_delete_child(pci->bus, pci->card);
	if (error == 0) {
		pci->card = NULL;
		error = device_delete_child(root_bus, pci->bus);
		KASSERT(error == 0, ("kdk: cannot delete the bus: errno %d", error));
		kdk_drivers_delete();
	}
	bus_topo_unlock();
	return (error);
}

void
kdk_pci_use(const struct kdk_pci *pci, struct kdk_pci_use *use)
{

	use->memory = kdk_count(pci->bars, nitems(pci->bars));
	use->interrupts = kdk_irqs(pci);
	use->handlers = pci->handlers;
	use->messages = pci->messages;
	use->stray = pci->stray;
	use->fired = 0;
	for (int i = 0; i < KDK_PCI_VECTORS; i++)
		use->fired += pci->vectors[i].fired;
}

int
kdk_pci_idle(struct kdk_pci *pci, u_int vector)
{

	return (vector >= KDK_PCI_VECTORS ||
	    kdk_vector_idle(&pci->vectors[vector]));
}

const struct thread *
kdk_pci_thread(const struct kdk_pci *pci, u_int vector)
{

	return (vector >= KDK_PCI_VECTORS ? NULL :
	    pci->vectors[vector].thread);
}

const char *
kdk_pci_device(const struct kdk_pci *pci)
{

	return (device_get_nameunit(pci->card));
}
#endif
