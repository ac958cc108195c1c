using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Tests.Models;

/// <summary>One forward pass over one text with everything kept that the references hold.</summary>
/// <param name="Hidden">Input of block 0 and the output of every block, [tokens, width] each.</param>
/// <param name="Logits">[tokens, vocabulary].</param>
internal sealed record ForwardTrace(IReadOnlyList<float[]> Hidden, float[] Logits)
{
    public static ForwardTrace Of(CausalModel model, int[] ids)
    {
        var hidden = new List<float[]>();
        using var tape = new Tape(model.Device, recording: false);
        Tensor x = tape.Rent(ids.Length, model.Config.HiddenSize);
        using InputEmbedding embedding = model.LoadEmbedding();
        using var inputs = new PassInputs(embedding, model.Config.Layers, ids, x, [.. Enumerable.Range(0, ids.Length)]);
        ForwardPass pass = ForwardPass.OfWindows(new SequenceShape(1, ids.Length));
        var state = new Variable(x);
        hidden.Add(state.Value.ToArray());
        for (int i = 0; i < model.Config.Layers; i++)
        {
            using IDecoderBlock block = model.LoadBlock(i);
            state = block.Forward(tape, state, inputs.For(pass, i));
            hidden.Add(state.Value.ToArray());
        }
        using OutputHead head = model.LoadHead();
        return new ForwardTrace(hidden, head.Logits(tape, state).Value.ToArray());
    }

    /// <summary>Log-probability of every token but the first, given those before it, in double precision from the logits.</summary>
    public double[] LogProbabilities(int[] ids)
    {
        int vocabulary = Logits.Length / ids.Length;
        var result = new double[ids.Length - 1];
        for (int t = 0; t < result.Length; t++)
        {
            ReadOnlySpan<float> row = Logits.AsSpan(t * vocabulary, vocabulary);
            double largest = double.NegativeInfinity, sum = 0;
            foreach (float value in row) largest = Math.Max(largest, value);
            foreach (float value in row) sum += Math.Exp(value - largest);
            result[t] = row[ids[t + 1]] - largest - Math.Log(sum);
        }
        return result;
    }

    /// <summary>|actual - expected| / |expected|, both as vectors.</summary>
    public static double RelativeError(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double difference = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow((double)expected[i] - actual[i], 2);
            norm += Math.Pow(expected[i], 2);
        }
        return Math.Sqrt(difference / norm);
    }
}
