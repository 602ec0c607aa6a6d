//! Prints the CustomResourceDefinition of `KVCluster`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", driftkv_operator::crd::crd_yaml()?);
    Ok(())
}
