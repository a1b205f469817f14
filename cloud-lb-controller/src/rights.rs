//! Rights at the API server, as roles name them.

/// One resource, and what has to be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    /// The API group; empty for the core one.
    pub group: &'static str,
    /// The resource, in the plural.
    pub resource: &'static str,
    /// The subresource; empty for the resource itself.
    pub subresource: &'static str,
    /// What has to be done.
    pub verbs: &'static [&'static str],
    /// Where; none: in all namespaces, or the resource has none.
    pub namespace: Option<String>,
    /// The one object it is needed on; none: on all.
    pub name: Option<String>,
}

impl Right {
    /// The right to do `verbs` everywhere with a resource, which is named by group, plural and subresource.
    pub(crate) fn on(
        (group, resource, subresource): (&'static str, &'static str, &'static str),
        verbs: &'static [&'static str],
    ) -> Self {
        Right { group, resource, subresource, verbs, namespace: None, name: None }
    }

    /// Only in this namespace, if it is given.
    pub(crate) fn in_namespace(self, namespace: Option<String>) -> Self {
        Right { namespace, ..self }
    }

    /// Only on the object of this name.
    pub(crate) fn named(self, name: &str) -> Self {
        Right { name: Some(name.to_owned()), ..self }
    }
}
