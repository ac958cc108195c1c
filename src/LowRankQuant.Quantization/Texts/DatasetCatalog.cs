namespace LowRankQuant.Quantization.Texts;

/// <summary>A part of a data set: its file and how its rows make a text.</summary>
/// <param name="File">The file in the repository; perhaps with <c>*</c>.</param>
/// <param name="Join">How rows make documents.</param>
/// <param name="MostRows">The first so many rows alone; null for all.</param>
public sealed record DatasetPart(string File, TextJoin Join = TextJoin.None, int? MostRows = null)
{
    /// <summary>The join in words.</summary>
    public string Describe()
    {
        string rows = MostRows is { } most ? FormattableString.Invariant($"the first {most} rows") : "rows";
        return Join switch { TextJoin.BlankLines => $"{rows} joined by blank lines", TextJoin.Spaces => $"{rows} joined by spaces", _ => $"{rows} as documents" };
    }
}

/// <summary>A data set that papers calibrate or measure on, by its usual name.</summary>
/// <param name="Name">The name.</param>
/// <param name="Summary">What it is, and who uses it.</param>
/// <param name="Repository">The hub's data set.</param>
/// <param name="Calibration">What is calibrated on.</param>
/// <param name="Evaluation">What is measured on; null where nobody measures on it.</param>
public sealed record NamedDataset(string Name, string Summary, string Repository, DatasetPart Calibration, DatasetPart? Evaluation)
{
    /// <summary>Where a part is on the hub.</summary>
    public string Address(DatasetPart part) => $"hf://datasets/{Repository}/{part.File}";
}

/// <summary>The data sets that have a name here.</summary>
public static class DatasetCatalog
{
    /// <summary>All, in the order they are listed.</summary>
    public static IReadOnlyList<NamedDataset> All { get; } =
    [
        // GPTQ: all rows, empty ones too, joined by "\n\n", for calibration and measuring alike.
        new(
            "wikitext2", "WikiText-2 (raw): Wikipedia articles; calibrated on by GPTQ, SpinQuant and many others, measured on by nearly all", "Salesforce/wikitext",
            new DatasetPart("wikitext-2-raw-v1/train-00000-of-00001.parquet", TextJoin.BlankLines), new DatasetPart("wikitext-2-raw-v1/test-00000-of-00001.parquet", TextJoin.BlankLines)),
        // GPTQ's later loader: the first 1,100 rows of the first validation file joined by " ", 256 windows of 2,048 tokens.
        new(
            "c4", "C4 (English): web pages, the first of its 1,024 files; calibrated on by GPTQ, LRQ, FlexRound; measured on 256 windows of its validation part", "allenai/c4",
            new DatasetPart("en/c4-train.00000-of-01024.json.gz"), new DatasetPart("en/c4-validation.00000-of-00008.json.gz", TextJoin.Spaces, 1100)),
        new(
            "pile", "The Pile's validation part: text of 22 kinds, code included; calibrated on by AWQ and AutoRound", "mit-han-lab/pile-val-backup",
            new DatasetPart("val.jsonl.zst"), null),
        // The names of these files end in hashes.
        new(
            "ultrachat", "UltraChat 200k: conversations, put into the model's chat format; calibrated on by llm-compressor", "HuggingFaceH4/ultrachat_200k",
            new DatasetPart("data/train_sft-00000-of-*.parquet"), null),
    ];

    /// <summary>The data set of a name; null where there is none.</summary>
    public static NamedDataset? Find(string name) => All.FirstOrDefault(set => string.Equals(set.Name, name, StringComparison.OrdinalIgnoreCase));
}
