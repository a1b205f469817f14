//! What speaks to routers: our own speaker, or an FRR that the operator runs.
//!
//! An engine is asked for what a MetalLB resource says, and has it or names the field that it lacks. A peer that asks for what
//! the engine lacks is not served by it; the others are.
//!
//! | | [`native`] | [`frr_k8s`] |
//! |---|---|---|
//! | a change of routes | 0.1 s | seconds |
//! | privileges | none | those of FRR |
//! | VRF, unnumbered peers, passwords, echo | no | yes |
//! | `localASN` | yes | no |
//! | at work | [`speaker`] | [`frr_k8s_keeper`] |

pub mod frr_k8s;
pub mod frr_k8s_keeper;
pub mod native;
pub mod speaker;
