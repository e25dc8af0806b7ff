//! "openb": nodes and pods of a production GPU cluster (Alibaba 2023), as CSV with a header. Times and states of pods are deliberately
//! not read: the published experiment fills a cluster until nothing fits.

use std::path::Path;

use cloudai_scheduler::placement::{Demand, GPU_MILLI, GPUS_MAX, NodeFree};
use cloudai_types::limits;

use super::ReadError;
use super::lines::Lines;

/// Nodes with GPUs, empty.
///
/// # Errors
/// See [`ReadError`].
pub fn nodes(path: &Path) -> Result<Vec<NodeFree>, ReadError> {
    rows(path, ["cpu_milli", "memory_mib", "gpu"], |[cpu_milli, memory_mib, gpus]| {
        let gpus = usize::try_from(gpus).ok().filter(|gpus| *gpus <= GPUS_MAX);
        let gpus = gpus.ok_or_else(|| format!("a node has at most {GPUS_MAX} GPUs"))?;
        let mut gpu_milli = [0; GPUS_MAX];
        gpu_milli[..gpus].fill(GPU_MILLI);
        Ok(NodeFree { cpu_milli, memory_mib, gpu_milli, gpus })
    })
}

/// What the pods ask for, in the order of the file.
///
/// # Errors
/// See [`ReadError`].
pub fn pods(path: &Path) -> Result<Vec<Demand>, ReadError> {
    let columns = ["cpu_milli", "memory_mib", "num_gpu", "gpu_milli"];
    rows(path, columns, |[cpu_milli, memory_mib, gpus, gpu_milli]| {
        let gpu_milli = u32::try_from(gpu_milli).ok().filter(|milli| *milli <= GPU_MILLI);
        let gpu_milli = gpu_milli.ok_or_else(|| format!("gpu_milli is more than {GPU_MILLI}, a whole GPU"))?;
        let gpus = usize::try_from(gpus).ok().filter(|gpus| *gpus <= GPUS_MAX);
        let gpus = gpus.ok_or_else(|| format!("a pod has at most {GPUS_MAX} GPUs"))?;
        Ok(Demand { cpu_milli, memory_mib, gpus, gpu_milli })
    })
}

/// Finds the columns by their names in the header, and reads them as numbers.
fn rows<T, const N: usize>(
    path: &Path,
    columns: [&str; N],
    row: impl Fn([u64; N]) -> Result<T, String>,
) -> Result<Vec<T>, ReadError> {
    let mut lines = Lines::open(path)?;
    let header = lines.next()?.map(|(_, line)| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let header = header.ok_or(ReadError::Empty)?;
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        let what = || ReadError::Line { line: 1, what: format!("the header has no column '{column}'") };
        *place = header.iter().position(|name| name == column).ok_or_else(what)?;
    }
    let mut rows = vec![];
    while let Some((line, text)) = lines.next()? {
        if text.is_empty() {
            continue;
        }
        if rows.len() == limits::TRACE_JOBS_MAX {
            return Err(ReadError::TooManyJobs);
        }
        let cells: Vec<&str> = text.split(',').collect();
        let mut numbers = [0; N];
        for ((number, place), column) in numbers.iter_mut().zip(places).zip(columns) {
            let what = || ReadError::Line { line, what: format!("column '{column}' is no number") };
            *number = cells.get(place).and_then(|cell| cell.parse().ok()).ok_or_else(what)?;
        }
        rows.push(row(numbers).map_err(|what| ReadError::Line { line, what })?);
    }
    if rows.is_empty() { Err(ReadError::Empty) } else { Ok(rows) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn written(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let file = written("name,gpu_milli,num_gpu,memory_mib,cpu_milli\na,460,1,12288,6000\n\nb,0,0,1,2\n");
        let asked = pods(file.path()).unwrap();
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0], Demand { cpu_milli: 6_000, memory_mib: 12_288, gpus: 1, gpu_milli: 460 });
        let file = written("sn,cpu_milli,memory_mib,gpu,model\nn,64000,262144,2,P100\n");
        let node = nodes(file.path()).unwrap()[0];
        assert_eq!((node.gpus(), node.gpu_sum_milli(), node.cpu_milli), (&[1000, 1000][..], 2_000, 64_000));
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let refused = |text: &str| pods(written(text).path()).unwrap_err().to_string();
        assert_eq!(refused("a,b\n1,2\n"), "line 1: the header has no column 'cpu_milli'");
        let header = "cpu_milli,memory_mib,num_gpu,gpu_milli\n";
        assert_eq!(refused(&format!("{header}1,2,x,0\n")), "line 2: column 'num_gpu' is no number");
        assert_eq!(refused(&format!("{header}1,2,1,1001\n")), "line 2: gpu_milli is more than 1000, a whole GPU");
        assert_eq!(refused(header), "the trace has no job that ran");
    }
}
