/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The handler of the sysctl debug.kdk.entropy.
 */
#ifndef _KDK_ENTROPY_H_
#define	_KDK_ENTROPY_H_

int	 kdk_sysctl_entropy(SYSCTL_HANDLER_ARGS);

#endif /* !_KDK_ENTROPY_H_ */
