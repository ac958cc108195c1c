using System.Diagnostics;
using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// Tokens a second of perplexity over a text, ours and llama.cpp's in turns on the same GGUF files and windows. Loading is not counted on either side, nor on llama.cpp's what
/// is done with the logits.
/// </summary>
internal static class EvalSpeedBenchmark
{
    public static int Run(Options options)
    {
        LlamaEngine engine = LlamaEngine.Load(LlamaEngine.Find(Environment.CurrentDirectory) ?? throw new ArgumentException("llama.cpp is not installed: run .ci/install-llamacpp in the repository."));
        int threads = options.Number("threads", 2), context = options.Number("context", 2048), repeats = options.Number("repeats", 3);
        string text = File.ReadAllText(options.Text("text") ?? throw new ArgumentException("--text is missing."));
        foreach (string file in (options.Text("files") ?? throw new ArgumentException("--files is missing.")).Split(','))
        {
            using CpuDevice device = options.Device();
            using ICheckpoint checkpoint = CheckpointOpener.Open(file);
            ITokenizer tokenizer = checkpoint.LoadTokenizer();
            int length = Math.Min(context, checkpoint.Config.MaxPositions);
            IReadOnlyList<TextWindow> windows = TextWindows.Cut(tokenizer.Encode(text, addSpecialTokens: false), new TextWindowOptions { Context = length, Windows = options.Number("windows", 2) }, checkpoint.Config);
            using LlamaModel theirs = engine.Open(file);
            using LlamaContext theirContext = theirs.CreateContext(exact: false, length, threads);
            using CausalModel model = ModelSource.Open(file, device);
            using var runner = new ModelRunner(model);
            long tokens = windows.Sum(window => (long)window.Ids.Length);
            double perplexity = 0;
            // In turns, the first of each to warm up.
            List<double> ours = [], llama = [];
            for (int repeat = 0; repeat <= repeats; repeat++)
            {
                long start = Stopwatch.GetTimestamp();
                perplexity = new Evaluator(runner).Evaluate(windows).Perplexity!.Value;
                double own = Stopwatch.GetElapsedTime(start).TotalSeconds;
                start = Stopwatch.GetTimestamp();
                foreach (TextWindow window in windows)
                {
                    theirContext.Clear();
                    theirContext.Append(window.Ids, 0, (_, _) => { });
                }
                double other = Stopwatch.GetElapsedTime(start).TotalSeconds;
                if (repeat == 0) continue;
                ours.Add(tokens / own);
                llama.Add(tokens / other);
            }
            Console.WriteLine(new JsonObject
            {
                ["file"] = Path.GetFileName(file),
                ["device"] = device.Name,
                ["windows"] = windows.Count,
                ["context"] = length,
                ["ours"] = Math.Round(Median(ours)),
                ["llamacpp"] = Math.Round(Median(llama)),
                ["ratio"] = Math.Round(Median([.. ours.Zip(llama, (own, other) => own / other)]), 3),
                ["perplexity"] = Math.Round(perplexity, 4),
            }.ToJsonString());
        }
        return 0;
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);
}
