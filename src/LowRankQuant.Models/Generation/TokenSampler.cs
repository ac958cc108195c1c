using LowRankQuant.Formats;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Generation;

/// <summary>
/// Continues token sequences, several of one length at a time, with cached keys and values. All blocks stay in memory as 32-bit floats, so this is
/// for samples in reports and for calibration text, not for serving.
/// </summary>
public sealed class TokenSampler : IDisposable
{
    private readonly CausalModel _model;
    private readonly InputEmbedding _embedding;
    private readonly OutputHead _head;
    private readonly IDecoderBlock[] _blocks;

    /// <summary>Loads the whole model.</summary>
    /// <param name="model">The model; not owned.</param>
    /// <param name="loadBlock">
    /// Gives block i in place of <see cref="CausalModel.LoadBlock"/>, such as one with other weights; owned from then on.
    /// </param>
    public TokenSampler(CausalModel model, Func<int, IDecoderBlock>? loadBlock = null)
    {
        _model = model;
        _embedding = model.LoadEmbedding();
        _head = model.LoadHead();
        _blocks = new IDecoderBlock[model.Config.Layers];
        for (int i = 0; i < _blocks.Length; i++) _blocks[i] = loadBlock?.Invoke(i) ?? model.LoadBlock(i);
    }

    /// <summary>Told how many tokens every prompt has got so far; null for nobody.</summary>
    public Action<int>? Progress { get; set; }

    /// <summary>Continues every prompt by at most <paramref name="count"/> tokens.</summary>
    /// <param name="prompts">Token ids, all of the same length, at least 1.</param>
    /// <param name="count">Tokens to add.</param>
    /// <param name="options">How tokens are chosen.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <returns>The added tokens of every prompt; fewer where a stop token came, which is then the last.</returns>
    /// <exception cref="ArgumentException">Prompts differ in length, are empty, or the result would leave the model's positions.</exception>
    /// <exception cref="CheckpointException">A prompt's id is beyond the vocabulary.</exception>
    public int[][] Sample(IReadOnlyList<int[]> prompts, int count, SamplingOptions options, CancellationToken cancellation = default)
    {
        if (prompts.Count == 0) return [];
        int length = prompts[0].Length, capacity = length + count;
        if (length == 0 || prompts.Any(prompt => prompt.Length != length))
            throw new ArgumentException("Prompts must have one length of at least 1.", nameof(prompts));
        if (capacity > _model.Config.MaxPositions)
            throw new ArgumentException($"{length} + {count} tokens leave the model's {_model.Config.MaxPositions} positions.", nameof(count));
        var random = new SeededRandom[prompts.Count];
        var added = new List<int>[prompts.Count];
        for (int i = 0; i < prompts.Count; i++)
        {
            random[i] = SeededRandom.Derive(options.Seed, options.FirstStream + (ulong)i);
            added[i] = new List<int>(count);
        }
        IMixerState[][] caches =
            [.. _blocks.Select(block => Enumerable.Range(0, prompts.Count).Select(_ => block.CreateState(_model.Device, capacity)).ToArray())];
        try
        {
            int[] input = [.. prompts.SelectMany(prompt => prompt)];
            var stopped = new bool[prompts.Count];
            for (int position = 0, step = 0; step < count && stopped.Contains(false); step++)
            {
                cancellation.ThrowIfCancellationRequested();
                int rows = input.Length / prompts.Count;
                int[] next = Step(input, new SequenceShape(prompts.Count, rows), position, caches, options.Temperature, random);
                position += rows;
                input = next;
                for (int i = 0; i < next.Length; i++)
                {
                    if (!stopped[i]) added[i].Add(next[i]);
                    stopped[i] |= options.StopIds.Contains(next[i]);
                }
                Progress?.Invoke(step + 1);
            }
        }
        finally
        {
            foreach (IMixerState lane in caches.SelectMany(lanes => lanes)) lane.Dispose();
        }
        return [.. added.Select(ids => ids.ToArray())];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _embedding.Dispose();
        _head.Dispose();
        foreach (IDecoderBlock block in _blocks) block.Dispose();
    }

    private int[] Step(int[] ids, SequenceShape shape, int position, IMixerState[][] caches, double temperature, SeededRandom[] random)
    {
        Device device = _model.Device;
        Tensor x = device.Empty(shape.Rows, _model.Config.HiddenSize);
        try
        {
            int[] positions = [.. Enumerable.Range(0, ids.Length).Select(row => position + (row % shape.Length))];
            using var inputs = new PassInputs(_embedding, _blocks.Length, ids, x, positions);
            for (int i = 0; i < _blocks.Length; i++)
            {
                LaneWork[] work = [.. caches[i].Select((lane, b) => new LaneWork(lane, [new LaneRows(b * shape.Length, shape.Length, position)]))];
                using var tape = new Tape(device, recording: false);
                device.Kernels.Copy(_blocks[i].Forward(tape, new Variable(x), inputs.For(ForwardPass.OfLanes(work), i)).Value, x);
            }
            using Tensor last = device.Empty(shape.Batch, _model.Config.HiddenSize);
            for (int b = 0; b < shape.Batch; b++) device.Kernels.Copy(x.RowRange(((b + 1) * shape.Length) - 1, 1), last.RowRange(b, 1));
            using var headTape = new Tape(device, recording: false);
            float[] logits = _head.Logits(headTape, new Variable(last)).Value.ToArray();
            var next = new int[shape.Batch];
            int n = _head.VocabularySize;
            for (int b = 0; b < next.Length; b++) next[b] = Choose(logits.AsSpan(b * n, n), temperature, random[b]);
            return next;
        }
        finally
        {
            x.Dispose();
        }
    }

    private static int Choose(ReadOnlySpan<float> logits, double temperature, SeededRandom random)
    {
        int largest = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[largest]) largest = i;
        }
        if (temperature <= 0) return largest;
        double top = logits[largest], sum = 0;
        foreach (float logit in logits) sum += Math.Exp((logit - top) / temperature);
        double rest = random.NextUniform() * sum;
        for (int i = 0; i < logits.Length; i++)
        {
            rest -= Math.Exp((logits[i] - top) / temperature);
            if (rest < 0) return i;
        }
        // Rounding can leave a remainder after the last token.
        return largest;
    }
}
