using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// Exported GGUF files measured where they will run: perplexity in llama.cpp, divergence from the first file of the list, and, for files with a model
/// of ours beside them, the perplexity of that model in our own engine on the same token ids. A file may have an adapter: BASE.gguf@ADAPTER.gguf=MODEL.
/// </summary>
internal static class LlamaCppBenchmark
{
    private const int GeneratedTokens = 32;

    // enum llama_ftype of llama.h.
    private static readonly Dictionary<string, int> FileTypes = new(StringComparer.Ordinal)
    {
        ["Q4_0"] = 2,
        ["Q4_1"] = 3,
        ["Q8_0"] = 7,
        ["Q5_0"] = 8,
        ["Q5_1"] = 9,
        ["Q2_K"] = 10,
        ["Q3_K_S"] = 11,
        ["Q3_K_M"] = 12,
        ["Q4_K_S"] = 14,
        ["Q4_K_M"] = 15,
        ["Q5_K_S"] = 16,
        ["Q6_K"] = 18,
    };

    /// <summary>Measures files, a JSON line each.</summary>
    public static int Run(Options options)
    {
        LlamaEngine engine = Engine();
        string[] files = Needed(options, "files").Split(',');
        using ICheckpoint tokens = CheckpointOpener.Open(options.Text("tokenizer") ?? files[0].Split('=', '@')[0]);
        ITokenizer tokenizer = tokens.LoadTokenizer();
        int[] ids = tokenizer.Encode(File.ReadAllText(Needed(options, "text")), addSpecialTokens: false);
        int context = options.Number("context", Math.Min(TextWindowOptions.UsualContext, tokens.Config.MaxPositions));
        IReadOnlyList<TextWindow> windows = TextWindows.Cut(ids, new TextWindowOptions { Context = context, Windows = options.Number("windows", 16) }, tokens.Config);
        int threads = options.Number("threads", 2);
        using var comparison = new LlamaCppComparison(engine, [.. files.Select(entry => entry.Split('=')[0])], context, threads, exact: options.Text("exact") == "yes");
        for (int i = 0; i < windows.Count; i++)
        {
            comparison.Add(windows[i]);
            Console.Error.WriteLine(FormattableString.Invariant($"window {i + 1} of {windows.Count}, {files.Length} files"));
        }
        int[]? prompt = options.Text("prompt") is { } begin ? tokenizer.Encode(begin, addSpecialTokens: false) : null;
        string?[] texts = prompt is null ? new string?[files.Length] : [.. comparison.Generate(prompt, GeneratedTokens).Select(added => tokenizer.Decode(added, skipSpecialTokens: false))];
        foreach ((string entry, JsonObject line, string? text) in files.Zip(comparison.Results(), texts))
        {
            if (text is not null) line["generated"] = text;
            string[] parts = entry.Split('=');
            if (parts.Length > 1) AddOwn(line, parts[1], windows, threads);
            Console.WriteLine(line.ToJsonString());
        }
        return 0;
    }

    /// <summary>Exports a model, with types for what lies on no grid.</summary>
    public static int Export(Options options)
    {
        using ICheckpoint source = CheckpointOpener.Open(Needed(options, "model"));
        GgufExport export = GgufExporter.Write(source, Needed(options, "out"), new GgufExportOptions
        {
            Linear = Type(options, "linear"),
            Embedding = Type(options, "embedding"),
            Output = Type(options, "embedding"),
            LeavesOutBranches = options.Text("adapter") is not null,
        });
        if (options.Text("adapter") is { } adapter) GgufLoraExporter.Write(source, adapter);
        string types = string.Join(", ", export.Tensors.GroupBy(tensor => tensor.Type).Select(group => $"{group.Count()} {group.Key}"));
        Console.WriteLine(FormattableString.Invariant($"{export.Path}: {export.Bytes} bytes, {export.LinearBitsPerWeight:0.####} bits a linear weight; {types}"));
        return 0;
    }

    /// <summary>llama.cpp's own quantizer.</summary>
    public static int Quantize(Options options)
    {
        string type = Needed(options, "type");
        if (!FileTypes.TryGetValue(type, out int fileType)) throw new ArgumentException($"--type {type} is none of {string.Join(", ", FileTypes.Keys)}.");
        string source = Needed(options, "model");
        int threads = options.Number("threads", 2);
        Dictionary<string, float[]>? importance = options.Text("calibration") is { } text ? Importance(source, text, options.Number("windows", 32), threads) : null;
        Engine().Quantize(source, Needed(options, "out"), fileType, options.Text("pure") == "yes", threads, (int?)Type(options, "embedding"), importance);
        return 0;
    }

    private static Dictionary<string, float[]> Importance(string source, string text, int windows, int threads)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = threads });
        using CausalModel model = ModelSource.Open(source, device);
        int[] ids = model.Checkpoint.LoadTokenizer().Encode(File.ReadAllText(text), addSpecialTokens: false);
        int context = Math.Min(TextWindows.LlamaCppContext, model.Config.MaxPositions);
        return ImportanceMatrix.Measure(model, TextWindows.Cut(ids, new TextWindowOptions { Context = context, Windows = windows }, model.Config));
    }

    private static void AddOwn(JsonObject line, string path, IReadOnlyList<TextWindow> windows, int threads)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = threads });
        using CausalModel model = ModelSource.Open(path, device);
        using var runner = new ModelRunner(model);
        double own = new Evaluator(runner).Evaluate(windows).Perplexity!.Value;
        line["ourPerplexity"] = Math.Round(own, 4);
        line["differencePercent"] = Math.Round(100 * (((double)line["perplexity"]! / own) - 1), 3);
    }

    private static LlamaEngine Engine() => LlamaEngine.Load(LlamaEngine.Find(Environment.CurrentDirectory)
        ?? throw new ArgumentException($"llama.cpp is not installed: run .ci/install-llamacpp in the repository, or set {LlamaEngine.Variable}."));

    private static GgmlType? Type(Options options, string name) => options.Text(name) is { } text ? Enum.Parse<GgmlType>(text, ignoreCase: true) : null;

    private static string Needed(Options options, string name) => options.Text(name) ?? throw new ArgumentException($"--{name} is missing.");
}
