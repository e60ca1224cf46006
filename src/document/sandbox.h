/* sandbox.h — internal to src/document: what a child that reads a foreign file may do.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DOCUMENT_SANDBOX_H
#define ILAB_DOCUMENT_SANDBOX_H

enum { SANDBOX_CPU_SECONDS = 60, SANDBOX_SECONDS = 120 /* of the clock */ };
#define SANDBOX_MEMORY ((unsigned long)1536 << 20)
/* From here on this process computes and writes to what is open: no file can be opened, no socket or process made. */
void sandbox_compute(void);
/* From here on, also in programs that replace this process: no socket, no file opened for writing or changed. */
void sandbox_program(void);

#endif
