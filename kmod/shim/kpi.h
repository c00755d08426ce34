/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The header for bindgen and for the shim.  It includes no header that is
 * generated from a .m or .src file (bus_if.h, vnode_if.h), since not every
 * kernel object directory has them.
 */
#include <sys/param.h>
#include <sys/systm.h>
#include <sys/errno.h>
#include <sys/kernel.h>
#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/malloc.h>
#include <sys/callout.h>
#include <sys/taskqueue.h>
#include <sys/proc.h>
#include <sys/kthread.h>
#include <sys/mbuf.h>
#include <sys/uio.h>
#include <sys/conf.h>
#include <sys/module.h>
#include <sys/pcpu.h>
#include <sys/smp.h>
#include <sys/socket.h>
#include <sys/sysctl.h>
#include <vm/uma.h>
#include <machine/cpu.h>
#include <machine/cpufunc.h>

#include "kdk_shim.h"
#include "kdk_kqueue.h"
#include "kdk_sendfile.h"
#include "kdk_reads.h"
#include "kdk_flowtable.h"
#include "kdk_pci.h"
#include "kdk_interface.h"
#include "kdk_filter.h"
#include "kdk_iflib.h"
