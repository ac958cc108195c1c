namespace LowRankQuant.Evaluation.Tasks;

/// <summary>
/// The items of a task as the Hugging Face hub has them. The hub converts every data set to Parquet files of its own, CONFIG/SPLIT/0000.parquet at the revision refs/convert/parquet, whatever
/// its makers keep: those are read, so that no program of a data set is run.
/// </summary>
/// <param name="Repository">The data set that lm-evaluation-harness asks, or that its makers published.</param>
/// <param name="Config">The configuration.</param>
/// <param name="Splits">The splits that are read: the items that are asked, and behind them solved ones.</param>
public sealed record HubTaskData(string Repository, string Config, params IReadOnlyList<string> Splits)
{
    /// <summary>Where the files are, in the order of the splits.</summary>
    public IReadOnlyList<string> Addresses => [.. Splits.Select(split => $"hf://datasets/{Repository}@refs/convert/parquet/{Config}/{split}/0000.parquet")];
}
