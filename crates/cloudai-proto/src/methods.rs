//! Every method there is, as the protocol's own files declare it. Comes in: nothing. Goes out: `Service/Method`, a closed list that is complete as
//! soon as a method is written.

/// The files with services.
const FILES: [&str; 3] = [
    include_str!("../../../proto/cloudai/v1/control.proto"),
    include_str!("../../../proto/cloudai/v1/dispatch.proto"),
    include_str!("../../../proto/cloudai/v1/raft.proto"),
];

/// `Control/Submit`, in the order of the files. Names live as long as the process, so that they are made once: keep what you need.
pub fn methods() -> impl Iterator<Item = &'static str> {
    static ALL: std::sync::LazyLock<Vec<String>> =
        std::sync::LazyLock::new(|| FILES.iter().flat_map(|f| of(f)).collect());
    ALL.iter().map(String::as_str)
}

fn of(file: &str) -> Vec<String> {
    let mut service = "";
    let mut found = vec![];
    for line in file.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("service ") {
            service = rest.split([' ', '{']).next().unwrap_or_default();
        } else if let Some(rest) = line.strip_prefix("rpc ") {
            found.push(format!("{service}/{}", rest.split('(').next().unwrap_or_default().trim()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_carry_their_service() {
        for method in ["Control/Submit", "Control/SubmitStream", "Dispatch/Session", "Raft/Append"] {
            assert!(methods().any(|m| m == method), "{method}");
        }
        assert!(methods().all(|m| m.split('/').filter(|part| !part.is_empty()).count() == 2));
    }
}
