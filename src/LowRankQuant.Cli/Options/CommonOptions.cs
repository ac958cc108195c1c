using System.CommandLine;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Cli.Options;

/// <summary>Options that several commands share.</summary>
internal static class CommonOptions
{
    public const int MostThreads = 1024;

    public static IReadOnlyList<KeyValuePair<string, AddBos>> AddBosNames { get; } =
        [new("auto", Quantization.Calibration.AddBos.Auto), new("yes", Quantization.Calibration.AddBos.Yes), new("no", Quantization.Calibration.AddBos.No)];

    public static IReadOnlyList<KeyValuePair<string, CpuKernelKind>> KernelNames { get; } =
        [new("simd", CpuKernelKind.Simd), new("scalar", CpuKernelKind.Scalar), new("blas", CpuKernelKind.Blas), new("onednn", CpuKernelKind.OneDnn)];

    public static IReadOnlyList<KeyValuePair<string, TextFormat>> TextFormats { get; } =
    [
        new("auto", TextFormat.Auto), new("text", TextFormat.Text), new("json", TextFormat.Json), new("jsonl", TextFormat.JsonLines), new("ids", TextFormat.Ids), new("csv", TextFormat.Csv), new("parquet", TextFormat.Parquet),
    ];

    public static Argument<string> Model() => new("MODEL") { Description = ModelPath.Help };

    public static Option<bool> Json() => new("--json") { Description = "Print one JSON object as the last line of standard output; progress goes to standard error." };

    public static Option<string?> Threads() => OptionReader.Create("--threads", "N", "Threads to use; never changes a result (default: one per core).");

    public static Option<string?> Memory() => OptionReader.Create(
        "--memory", "SIZE", "Memory to stay within, such as 4G or 512M; activations beyond it go to disk (default: what the machine has).");

    public static Option<string?> Kernels() => OptionReader.Create(
        "--kernels", "KIND", "simd, scalar (the slow reference), blas or onednn (matrix products by a system BLAS library or by oneDNN; blas:FILE and onednn:FILE name the library) (default: simd).");

    public static Option<string?> AddBos() => OptionReader.Create(
        "--add-bos", "WHEN", "Begin-of-text token in front of every document: auto (as the tokenizer says), yes or no (default: auto).");

    public static Option<string?> FormatOfText(string name, string whose) => OptionReader.Create(
        name, "KIND", $"What {whose} holds: {Choices.List(TextFormats)} (default: auto, by name and content).");

    public static Option<string?> TextField() => OptionReader.Create(
        "--text-field", "NAME", "Field of JSON objects, or column of CSV and Parquet files, that holds the text or conversation (default: text, or a conversation in a known layout).");

    public static Option<string?> ChatArguments() => OptionReader.Create(
        "--chat-template-kwargs", "JSON", "Variables of the model's chat template for conversations, such as '{\"enable_thinking\": false}'.");

    /// <summary>Reads them; what is wrong is a problem.</summary>
    public static TemplateArguments? ChatArguments(OptionReader reader, Option<string?> option)
    {
        if (reader.Text(option) is not { } text) return null;
        try
        {
            return TemplateArguments.Parse(text);
        }
        catch (ChatTemplateException wrong)
        {
            reader.Problems.Add($"{option.Name} {text}: {wrong.Message.TrimEnd('.')}.");
            return null;
        }
    }

    public static Option<bool> JoinRows(string whose) => new("--join-rows")
    {
        Description = $"Join the lines of {whose}, or its documents of JSON, by blank lines: with wiki.test.raw the text that GPTQ's, LRQ's and most papers measure.",
    };

    /// <summary>Whether it is told where a model differs from its reference.</summary>
    public static Option<bool> InDepth(string whose) => new("--in-depth")
    {
        Description = $"Tell where {whose} differs from its reference: percentiles of the divergence, by confidence and at format tokens, margins, the surest flips, texts side by side, loops.",
    };

    /// <summary>On how many windows linears are exchanged one by one.</summary>
    public static Option<string?> SwapWindows() => OptionReader.Create(
        "--swap-windows",
        "N",
        "With --in-depth: put every quantized linear alone into the reference, on the first N windows. Of L blocks with S linears each a window passes S L (L + 1) / 2 blocks and S L heads, as much work for SmolLM2-135M as about 70 evaluated windows; 0 for not at all (default: up to 4, as many as cost no more than the evaluation, else 0).");

    /// <summary>What the two ask for; null where nothing is.</summary>
    public static DepthOptions? Depth(OptionReader reader, Option<bool> inDepth, Option<string?> swapWindows)
    {
        int? windows = reader.Int(swapWindows, 0);
        if (reader.Flag(inDepth)) return new DepthOptions { SwapWindows = windows };
        reader.Refuse("is for --in-depth", swapWindows);
        return null;
    }

    /// <summary>Where a command computes.</summary>
    public static CpuDeviceOptions Device(OptionReader reader, Option<string?> threads, Option<string?> kernels)
    {
        int? count = reader.Int(threads, 1, MostThreads);
        string? asked = reader.Text(kernels), library = null;
        // A library by its name or path stands behind the kind.
        if (asked?.IndexOf(':', StringComparison.Ordinal) is > 0 and var colon) (asked, library) = (asked[..colon], asked[(colon + 1)..]);
        CpuKernelKind? kind = asked is null ? CpuKernelKind.Simd : Choices.Parse(KernelNames, asked);
        if (kind is null || (library is not null && (library.Length == 0 || kind is not (CpuKernelKind.Blas or CpuKernelKind.OneDnn))))
            reader.Problems.Add($"{kernels.Name} {reader.Text(kernels)}: must be one of {Choices.List(KernelNames)}, the last two perhaps with :FILE.");
        return new CpuDeviceOptions { Threads = count, Kernels = kind ?? CpuKernelKind.Simd, BlasLibrary = kind == CpuKernelKind.Blas ? library : null, OneDnnLibrary = kind == CpuKernelKind.OneDnn ? library : null };
    }
}
