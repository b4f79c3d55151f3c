// Every kernel, in the order they use each other: included by each isa_*.c.

#include "vec.inc.h"
#include "convert.inc.h"
#if __has_include("q4_0.inc.h")
#include "q8_0.inc.h"
#include "q4_0.inc.h"
#include "q4_1.inc.h"
#include "q5_0.inc.h"
#include "q5_1.inc.h"
#endif
#if __has_include("q2_k.inc.h")
#include "q2_k.inc.h"
#endif
#if __has_include("q3_k.inc.h")
#include "q3_k.inc.h"
#endif
#if __has_include("q4_k.inc.h")
#include "q4_k.inc.h"
#endif
#if __has_include("q5_k.inc.h")
#include "q5_k.inc.h"
#endif
#if __has_include("q6_k.inc.h")
#include "q6_k.inc.h"
#endif
#if __has_include("iq4_nl.inc.h")
#include "iq4_nl.inc.h"
#include "iq4_xs.inc.h"
#endif
#include "table.inc.h"
