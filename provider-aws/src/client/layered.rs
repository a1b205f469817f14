//! One wrapper for everything that happens around a request, whatever the request is.

use std::future::Future;

use super::{Call, Result};

/// Something that happens around every request: counting, pacing, repeating.
pub trait Around: Send + Sync {
    /// Makes the request, once or again until it is worth no more, and returns its outcome.
    fn around<T: Send, F: Future<Output = Result<T>> + Send>(
        &self,
        call: Call,
        request: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<T>> + Send;
}

/// An implementation of [`Elbv2`](super::Elbv2) and [`Ec2`](super::Ec2) with something [`Around`] each of its requests.
#[derive(Clone, Debug)]
pub struct Layered<A, I> {
    pub(super) around: A,
    pub(super) inner: I,
}

impl<A, I> Layered<A, I> {
    /// Puts `around` around every request of `inner`.
    pub fn new(around: A, inner: I) -> Self {
        Self { around, inner }
    }
}

/// The requests of one AWS service: a trait with a method for each, and what is around all of them: `Layered` passes each
/// on as the [`Call`] that stands behind it. So a request is said in one place, and none can be forgotten by a layer.
macro_rules! requests {
    (
        $(#[$about:meta])*
        pub trait $service:ident {
            $(
                $(#[$doc:meta])*
                async fn $method:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty = $call:ident;
            )*
        }
    ) => {
        $(#[$about])*
        #[async_trait::async_trait]
        pub trait $service: Send + Sync {
            $(
                $(#[$doc])*
                async fn $method(&self, $($argument: $type),*) -> $answer;
            )*
        }

        #[async_trait::async_trait]
        impl<A: $crate::client::Around, I: $service> $service for $crate::client::Layered<A, I> {
            $(
                async fn $method(&self, $($argument: $type),*) -> $answer {
                    self.around
                        .around($crate::client::Call::$call, || self.inner.$method($($argument),*))
                        .await
                }
            )*
        }
    };
}

pub(super) use requests;
