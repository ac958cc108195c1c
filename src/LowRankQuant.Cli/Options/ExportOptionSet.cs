using System.CommandLine;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Export;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Quantization.Options;
using static LowRankQuant.Cli.Options.OptionReader;

namespace LowRankQuant.Cli.Options;

/// <summary>The options of <c>lrq export</c> and <c>lrq convert</c>.</summary>
/// <param name="defaultTarget">The container when none is named; null when one must be.</param>
internal sealed class ExportOptionSet(string? defaultTarget)
{
    private static readonly KeyValuePair<string, AdapterType>[] AdapterTypes =
        [new("fp32", AdapterType.Float32), new("fp16", AdapterType.Float16), new("bf16", AdapterType.BFloat16), new("q8_0", AdapterType.Blocks8)];

    private static readonly KeyValuePair<string, GptqZeroPoints>[] GptqFormats = [new("v1", GptqZeroPoints.MinusOne), new("v2", GptqZeroPoints.AsTheyAre)];

    private static readonly KeyValuePair<string, ExportAdapter>[] AdapterNames =
        [new("gguf-lora", ExportAdapter.GgufLora), new("peft", ExportAdapter.Peft), new("peft-padded", ExportAdapter.PeftPadded)];

    // The types that floats are rounded to as ggml's reference code rounds them.
    private static readonly KeyValuePair<string, GgmlType>[] GgufTypes =
    [
        new("f32", GgmlType.F32), new("f16", GgmlType.F16), new("bf16", GgmlType.BF16), new("q8_0", GgmlType.Q8_0), new("q5_1", GgmlType.Q5_1),
        new("q5_0", GgmlType.Q5_0), new("q4_1", GgmlType.Q4_1), new("q4_0", GgmlType.Q4_0),
    ];

    private static readonly KeyValuePair<string, GgufMisfit>[] GgufMisfits = [new("refuse", GgufMisfit.Refuse), new("float", GgufMisfit.StoreFloats)];

    private readonly Option<string?> _to = Create(
        "--to", "FORMAT", $"{string.Join(", ", Exporters.All.Select(exporter => exporter.Name))}{(defaultTarget is null ? "" : $" (default: {defaultTarget})")}.");

    private readonly Option<string?> _out = Create("--out", "PATH", "Where the result goes.");
    private readonly Option<string?> _adapter = Create(
        "--adapter", "KIND",
        $"How low-rank branches are written: {Choices.List([.. Adapters])} (default: the first that the format has; dense adds them to the weights).");

    private readonly Option<string?> _adapterType = Create(
        "--adapter-dtype", "TYPE",
        "Type of the adapter's factors: fp32, fp16, bf16 (PEFT) or q8_0 (gguf) (default: the narrowest float that holds them exactly, fp32 for 8-bit factors).");

    private readonly Option<string?> _maxRank = Create(
        "--max-rank", "N", $"Largest rank of an adapter; vLLM knows {EngineRules.Words(EngineTable.VllmAdapterRanks, "and")} (default: no limit).");
    private readonly Option<string?> _gptqFormat = Create(
        "--gptq-format", "v1|v2", "gptq: form of the zero points (default: v1 when symmetric with 2, 4 or 8 bits, else v2).");
    private readonly Option<string?> _linear = Create(
        "--linear", "TYPE", $"gguf: type of linears that lie on no grid: {Choices.List(GgufTypes)} (default: f16; a GGUF model's own).");
    private readonly Option<string?> _embedding = Create(
        "--embedding", "TYPE", "gguf: type of the embedding, the same names (default: f16; a GGUF model's own).");
    private readonly Option<string?> _head = Create(
        "--head", "TYPE", "gguf: type of an output head of its own, the same names (default: f16; a GGUF model's own).");
    private readonly Option<string?> _onMisfit = Create(
        "--on-misfit", "refuse|float", "gguf: what happens to a grid that fits no block; float stores its values as F32 (default: refuse).");
    private readonly Option<bool> _lossyVocabulary = new("--lossy-vocabulary")
    {
        Description = "gguf: leave out, with a warning, what a GGUF vocabulary has no place for: normalizers, pre-tokenizers, flags of added tokens (default: refuse).",
    };

    private readonly Option<string?> _dtype = Create("--dtype", "TYPE", "dense: bf16, fp16 or fp32 (default: bf16).");
    private readonly Option<string?> _shardSize = Create("--shard-size", "SIZE", "Largest file of tensors (default: 5 GB).");
    private readonly Option<bool> _weightsOnly = new("--weights-only") { Description = "Leave quantizers of activations and of the key-value cache behind." };
    private readonly Option<bool> _overwrite = new("--overwrite") { Description = "Replace a model that is there already." };

    /// <summary>Names of the float types of safetensors files.</summary>
    public static IReadOnlyList<KeyValuePair<string, SafetensorsType>> DenseTypes { get; } =
        [new("bf16", SafetensorsType.BF16), new("fp16", SafetensorsType.F16), new("fp32", SafetensorsType.F32)];

    /// <summary>Whether one JSON object is asked for.</summary>
    public Option<bool> Json { get; } = CommonOptions.Json();

    public IEnumerable<Option> All =>
    [
        _to, _out, _adapter, _adapterType, _maxRank, _gptqFormat, _linear, _embedding, _head, _onMisfit, _lossyVocabulary, _dtype, _shardSize, _weightsOnly,
        _overwrite, Json,
    ];

    private static IEnumerable<KeyValuePair<string, ExportAdapter>> Adapters =>
        AdapterNames.Where(name => Exporters.All.Any(exporter => exporter.Adapters.Contains(name.Value)));

    /// <summary>Reads what is asked for.</summary>
    /// <param name="reader">Options and problems.</param>
    /// <param name="source">Path of the model.</param>
    /// <returns>The container and what it is asked for; meaningless when the reader has problems.</returns>
    public (IExporter Exporter, ExportOptions Options) Read(OptionReader reader, string source)
    {
        List<string> problems = reader.Problems;
        string? target = reader.Text(_to) ?? defaultTarget;
        IExporter? exporter = target is null ? null : Exporters.Find(target);
        string known = string.Join(", ", Exporters.All.Select(candidate => candidate.Name));
        if (target is null) problems.Add($"--to is missing: one of {known}.");
        else if (exporter is null) problems.Add($"--to {target}: must be one of {known}.");
        SafetensorsType? type = reader.Choice(_dtype, DenseTypes);
        GptqZeroPoints? zeros = reader.Choice(_gptqFormat, GptqFormats);
        ExportAdapter? adapter = reader.Choice(_adapter, [.. Adapters]);
        int? maxRank = reader.Int(_maxRank, 1);
        if (exporter is not null and not DenseFolderExporter) reader.Refuse("is for --to dense; other formats have the type of their scales", _dtype);
        if (exporter is not null and not GptqExporter) reader.Refuse("is for --to gptq", _gptqFormat);
        if (adapter is { } kind && exporter?.Adapters.Contains(kind) == false)
            problems.Add($"--adapter {reader.Text(_adapter)}: engines of {exporter.Name} do not load it.");
        var gguf = new GgufExportOptions
        {
            Linear = reader.Choice(_linear, GgufTypes),
            Embedding = reader.Choice(_embedding, GgufTypes),
            Output = reader.Choice(_head, GgufTypes),
            Misfit = reader.Choice(_onMisfit, GgufMisfits) ?? GgufMisfit.Refuse,
            LossyVocabulary = reader.Flag(_lossyVocabulary),
        };
        if (exporter is not null and not GgufModelExporter) reader.Refuse("is for --to gguf", _linear, _embedding, _head, _onMisfit);
        if (gguf.LossyVocabulary && exporter is not null and not GgufModelExporter) problems.Add("--lossy-vocabulary: is for --to gguf.");
        bool overwrite = reader.Flag(_overwrite);
        string? output = reader.Text(_out);
        CheckOutput(problems, output, source, exporter?.WritesFile == true, overwrite);
        var options = new ExportOptions
        {
            Output = output ?? "",
            Overwrite = overwrite,
            ShardSize = reader.Size(_shardSize) ?? SafetensorsFolderWriter.DefaultShardSize,
            DenseType = type ?? SafetensorsType.BF16,
            GptqZeroPoints = zeros,
            Gguf = gguf,
            Adapter = adapter,
            AdapterType = reader.Choice(_adapterType, AdapterTypes),
            MaxRank = maxRank,
            WeightsOnly = reader.Flag(_weightsOnly),
            Version = typeof(ExportOptionSet).Assembly.GetName().Version?.ToString(3) ?? "0",
        };
        return (exporter ?? Exporters.All[0], options);
    }

    private static void CheckOutput(List<string> problems, string? output, string source, bool isFile, bool overwrite)
    {
        if (string.IsNullOrWhiteSpace(output))
        {
            problems.Add($"--out is missing: name the {(isFile ? "file" : "folder")} to write.");
            return;
        }
        if (isFile)
        {
            if (Directory.Exists(output)) problems.Add($"--out {output}: is a folder; name a file.");
            else if (File.Exists(output) && !overwrite) problems.Add($"--out {output}: is there already; choose another name, or give --overwrite.");
        }
        else if (File.Exists(output))
        {
            problems.Add($"--out {output}: is a file; name a folder.");
        }
        else if (!overwrite && Directory.Exists(output) && Directory.EnumerateFileSystemEntries(output).Any())
        {
            problems.Add($"--out {output}: is not empty; choose another folder, or give --overwrite.");
        }
        if (Directory.Exists(source) && (FolderPath.Holds(source, output) || (!isFile && FolderPath.Holds(output, source))))
            problems.Add($"--out {output}: and the model lie within each other; name another place.");
        else if (isFile && File.Exists(source) && FolderPath.Holds(source, output))
            problems.Add($"--out {output}: is the model itself; name another file.");
    }
}
