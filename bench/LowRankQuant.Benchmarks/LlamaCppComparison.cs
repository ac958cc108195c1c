using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.LlamaCpp;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// GGUF files run side by side in llama.cpp, so that the logits of the first, from which the others' divergence is taken, are computed once and never
/// kept: all files take the same few positions, then the next.
/// </summary>
internal sealed class LlamaCppComparison : IDisposable
{
    private const int Chunk = 256; // positions whose logits are in memory at once
    private readonly List<Entry> _entries = [];
    private readonly Distribution[] _reference;

    /// <summary>Loads the files.</summary>
    /// <param name="engine">llama.cpp.</param>
    /// <param name="files">Paths, of a base or of <c>BASE@ADAPTER</c>; the first is the reference.</param>
    /// <param name="context">Tokens of a window.</param>
    /// <param name="threads">Threads of llama.cpp.</param>
    /// <param name="exact">One thread, F32 cache.</param>
    public LlamaCppComparison(LlamaEngine engine, IReadOnlyList<string> files, int context, int threads, bool exact)
    {
        foreach (string file in files) _entries.Add(Entry.Open(engine, file, context, threads, exact));
        _reference = new Distribution[Chunk];
        for (int i = 0; i < Chunk; i++) _reference[i] = new Distribution(_entries[0].Model.VocabularySize);
    }

    /// <summary>Runs all files over a window.</summary>
    public void Add(TextWindow window)
    {
        foreach (Entry entry in _entries) entry.Context.Clear();
        for (int start = 0; start < window.Ids.Length; start += Chunk)
        {
            ReadOnlySpan<int> ids = window.Ids.AsSpan(start, Math.Min(Chunk, window.Ids.Length - start));
            int first = start;
            foreach (Entry entry in _entries)
            {
                bool isReference = entry == _entries[0];
                entry.Context.Append(ids, first, (position, logits) =>
                {
                    Distribution reference = _reference[position - first];
                    if (isReference) reference.Set(logits);
                    if (position + 1 < window.Ids.Length) entry.Sums.Add(reference, logits, window.Ids[position + 1]);
                });
            }
        }
    }

    /// <summary>What every file goes on with after a prompt, by the likeliest token each time.</summary>
    /// <param name="prompt">Ids of the prompt.</param>
    /// <param name="count">Tokens to add.</param>
    public IEnumerable<int[]> Generate(int[] prompt, int count) => _entries.Select(entry => entry.Context.Generate(prompt, count));

    /// <summary>One JSON object a file.</summary>
    public IEnumerable<JsonObject> Results() => _entries.Select(entry => entry.Result());

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Entry entry in _entries)
        {
            entry.Context.Dispose();
            entry.Model.Dispose();
        }
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

    private sealed record Entry(string Path, string? Adapter, LlamaModel Model, LlamaContext Context)
    {
        public Sums Sums { get; } = new();

        public static Entry Open(LlamaEngine engine, string file, int length, int threads, bool exact)
        {
            string[] parts = file.Split('@');
            LlamaModel model = engine.Open(parts[0]);
            LlamaContext context = model.CreateContext(exact, length, threads);
            if (parts.Length > 1) context.SetAdapters((model.LoadAdapter(parts[1]), 1));
            return new Entry(parts[0], parts.ElementAtOrDefault(1), model, context);
        }

        public JsonObject Result()
        {
            (long bytes, long linearBytes, long weights) = Size(Path, "blk.");
            long adapterBytes = 0;
            if (Adapter is not null)
            {
                (long file, long factors, _) = Size(Adapter, "");
                (bytes, linearBytes, adapterBytes) = (bytes + file, linearBytes + factors, file);
            }
            var line = new JsonObject
            {
                ["file"] = System.IO.Path.GetFileName(Path),
                ["bytes"] = bytes,
                ["linearBitsPerWeight"] = Math.Round(8.0 * linearBytes / weights, 4),
            };
            if (Adapter is not null) line["adapterBytes"] = adapterBytes;
            Sums.WriteTo(line);
            return line;
        }

        // Bytes of a file, and bytes and number of the elements of its matrices and stacks of matrices.
        private static (long Bytes, long MatrixBytes, long Elements) Size(string path, string prefix)
        {
            using GgufFile file = GgufFile.Open(path);
            GgufTensor[] matrices = [.. file.Tensors.Values.Where(tensor => tensor.Shape.Length >= 2 && tensor.Name.StartsWith(prefix, StringComparison.Ordinal))];
            return (new FileInfo(path).Length, matrices.Sum(tensor => tensor.ByteLength), matrices.Sum(tensor => tensor.ElementCount));
        }
    }

    /// <summary>What the reference expects at a position.</summary>
    private sealed class Distribution(int vocabulary)
    {
        private readonly float[] _probabilities = new float[vocabulary];
        private double _expectedLog; // sum of p log p

        public int Likeliest { get; private set; }

        public void Set(ReadOnlySpan<float> logits)
        {
            (double total, Likeliest) = LogSumExp(logits);
            _expectedLog = 0;
            for (int i = 0; i < logits.Length; i++)
            {
                double log = logits[i] - total, p = Math.Exp(log);
                _probabilities[i] = (float)p;
                _expectedLog += p * log;
            }
        }

        /// <summary>KL(this || other) of the other's logits and their log-sum-exp.</summary>
        public double DivergenceTo(ReadOnlySpan<float> logits, double total)
        {
            double expected = 0;
            for (int i = 0; i < logits.Length; i++) expected += _probabilities[i] * (logits[i] - total);
            return _expectedLog - expected;
        }
    }

    /// <summary>Sums over positions, in double precision: loss of the token that follows, KL(reference || model), agreement of the likeliest token.</summary>
    private sealed class Sums
    {
        private double _loss;
        private double _divergence;
        private long _agreements;
        private long _tokens;

        public void Add(Distribution reference, ReadOnlySpan<float> logits, int next)
        {
            (double total, int likeliest) = LogSumExp(logits);
            _divergence += reference.DivergenceTo(logits, total);
            _loss += total - logits[next];
            if (likeliest == reference.Likeliest) _agreements++;
            _tokens++;
        }

        public void WriteTo(JsonObject line)
        {
            line["tokens"] = _tokens;
            line["perplexity"] = Math.Round(Math.Exp(_loss / _tokens), 4);
            line["klDivergence"] = Math.Round(_divergence / _tokens, 6);
            line["top1"] = Math.Round((double)_agreements / _tokens, 5);
        }
    }
}
