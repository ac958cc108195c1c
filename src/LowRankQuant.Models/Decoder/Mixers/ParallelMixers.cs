using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Pointwise;

namespace LowRankQuant.Models.Decoder.Mixers;

/// <summary>Mixers side by side: y = sum over them of out * mixer(in * x).</summary>
/// <param name="hidden">Width of the stream.</param>
/// <param name="parts">The mixers, and what multiplies the input and the output of each.</param>
internal sealed class ParallelMixers(int hidden, params (IMixer Mixer, float In, float Out)[] parts) : IMixer
{
    /// <inheritdoc/>
    public StateSize StateSize => new(parts.Sum(part => part.Mixer.StateSize.Fixed), parts.Sum(part => part.Mixer.StateSize.PerPosition));

    /// <inheritdoc/>
    public IReadOnlyList<CacheSite> Caches { get; } = [.. parts.SelectMany(part => part.Mixer.Caches)];

    /// <inheritdoc/>
    public TapeNumbers OnTape
    {
        get
        {
            TapeNumbers sum = default;
            foreach ((IMixer mixer, float input, float output) in parts)
            {
                // What they give is added up.
                sum += mixer.OnTape + new TapeNumbers(((input == 1 ? 0L : 1) + (output == 1 ? 0 : 1) + 1) * hidden, 0);
            }
            return sum;
        }
    }

    /// <inheritdoc/>
    public IMixerState CreateState(Device device, int positions) => new JointState([.. parts.Select(part => part.Mixer.CreateState(device, positions))]);

    /// <inheritdoc/>
    public Variable Apply(Tape tape, Variable x, ForwardPass pass)
    {
        Variable? sum = null;
        for (int i = 0; i < parts.Length; i++)
        {
            (IMixer mixer, float input, float output) = parts[i];
            Variable y = mixer.Apply(tape, input == 1 ? x : tape.Scale(x, input), pass.Part(i));
            if (output != 1) y = tape.Scale(y, output);
            sum = sum is null ? y : tape.Add(sum, y);
        }
        return sum!;
    }

    /// <inheritdoc/>
    public void AddReaders(InputReaders readers)
    {
        foreach ((IMixer mixer, float _, float _) in parts) mixer.AddReaders(readers);
    }

    /// <inheritdoc/>
    public void AddFolds(FoldList folds)
    {
        foreach ((IMixer mixer, float _, float _) in parts) mixer.AddFolds(folds);
    }
}
