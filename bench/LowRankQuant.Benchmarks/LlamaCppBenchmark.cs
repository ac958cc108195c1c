using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Numerics;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// Exported GGUF files measured where they will run: perplexity in llama.cpp, divergence from the first file of the list, and, for files with a model
/// of ours beside them, the perplexity of that model in our own engine on the same token ids.
/// </summary>
internal static class LlamaCppBenchmark
{
    private const int Chunk = 256; // positions whose logits of two models are in memory at once

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
        using ICheckpoint tokens = CheckpointOpener.Open(options.Text("tokenizer") ?? files[0].Split('=')[0]);
        int[] ids = tokens.LoadTokenizer().Encode(File.ReadAllText(Needed(options, "text")), addSpecialTokens: false);
        int context = options.Number("context", Math.Min(TextWindowOptions.UsualContext, tokens.Config.MaxPositions));
        IReadOnlyList<TextWindow> windows = TextWindows.Cut(ids, new TextWindowOptions { Context = context, Windows = options.Number("windows", 16) }, tokens.Config);
        bool exact = options.Text("exact") == "yes";
        int threads = options.Number("threads", 2);
        using LlamaModel referenceModel = engine.Open(files[0].Split('=')[0]);
        using LlamaContext reference = referenceModel.CreateContext(exact, context, threads);
        foreach (string entry in files)
        {
            string[] parts = entry.Split('=');
            JsonObject line = Measure(engine, parts[0], reference, windows, exact, threads);
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

    private static JsonObject Measure(
        LlamaEngine engine, string path, LlamaContext reference, IReadOnlyList<TextWindow> windows, bool exact, int threads)
    {
        using LlamaModel model = engine.Open(path);
        using LlamaContext context = model.CreateContext(exact, windows[0].Ids.Length, threads);
        double loss = 0, divergence = 0;
        long count = 0, agreements = 0;
        var expected = new float[Chunk * model.VocabularySize];
        foreach (TextWindow window in windows)
        {
            context.Clear();
            reference.Clear();
            for (int start = 0; start < window.Ids.Length; start += Chunk)
            {
                ReadOnlySpan<int> ids = window.Ids.AsSpan(start, Math.Min(Chunk, window.Ids.Length - start));
                int first = start;
                reference.Append(ids, first, (position, logits) => logits.CopyTo(expected.AsSpan((position - first) * logits.Length)));
                context.Append(ids, first, (position, logits) =>
                {
                    if (position + 1 == window.Ids.Length) return;
                    ReadOnlySpan<float> full = expected.AsSpan((position - first) * logits.Length, logits.Length);
                    (double nll, double kl, bool agrees) = Compare(full, logits, window.Ids[position + 1]);
                    loss += nll;
                    divergence += kl;
                    if (agrees) agreements++;
                    count++;
                });
            }
        }
        using GgufFile file = GgufFile.Open(path);
        long linear = 0, linearBytes = 0;
        foreach (GgufTensor tensor in file.Tensors.Values.Where(tensor => tensor.Name.StartsWith("blk.", StringComparison.Ordinal) && tensor.Shape.Length == 2))
        {
            linear += tensor.ElementCount;
            linearBytes += tensor.ByteLength;
        }
        return new JsonObject
        {
            ["file"] = Path.GetFileName(path),
            ["bytes"] = new FileInfo(path).Length,
            ["linearBitsPerWeight"] = Math.Round(8.0 * linearBytes / linear, 4),
            ["windows"] = windows.Count,
            ["tokens"] = count,
            ["perplexity"] = Math.Round(Math.Exp(loss / count), 4),
            ["klDivergence"] = Math.Round(divergence / count, 6),
            ["top1"] = Math.Round((double)agreements / count, 5),
        };
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

    /// <summary>Loss of the token that follows, KL(reference || model), and whether both hold the same token for the likeliest; in double precision.</summary>
    private static (double Loss, double Divergence, bool Agrees) Compare(ReadOnlySpan<float> reference, ReadOnlySpan<float> logits, int next)
    {
        (double sum, int best) = LogSumExp(logits);
        (double fullSum, int fullBest) = LogSumExp(reference);
        double divergence = 0;
        for (int i = 0; i < logits.Length; i++)
        {
            double p = reference[i] - fullSum;
            divergence += Math.Exp(p) * (p - (logits[i] - sum));
        }
        return (sum - logits[next], divergence, best == fullBest);
    }

    private static (double Sum, int Best) LogSumExp(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best]) best = i;
        }
        double sum = 0;
        foreach (float value in logits) sum += Math.Exp(value - logits[best]);
        return (logits[best] + Math.Log(sum), best);
    }

    private static LlamaEngine Engine() => LlamaEngine.Load(LlamaEngine.Find(Environment.CurrentDirectory)
        ?? throw new ArgumentException($"llama.cpp is not installed: run .ci/install-llamacpp in the repository, or set {LlamaEngine.Variable}."));

    private static GgmlType? Type(Options options, string name) => options.Text(name) is { } text ? Enum.Parse<GgmlType>(text, ignoreCase: true) : null;

    private static string Needed(Options options, string name) => options.Text(name) ?? throw new ArgumentException($"--{name} is missing.");
}
