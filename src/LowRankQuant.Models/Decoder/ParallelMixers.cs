using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Decoder;

/// <summary>Mixers side by side: y = sum over them of out * mixer(in * x).</summary>
/// <param name="parts">The mixers, and what multiplies the input and the output of each.</param>
internal sealed class ParallelMixers(params (IMixer Mixer, float In, float Out)[] parts) : IMixer
{
    /// <inheritdoc/>
    public StateSize StateSize => new(parts.Sum(part => part.Mixer.StateSize.Fixed), parts.Sum(part => part.Mixer.StateSize.PerPosition));

    /// <inheritdoc/>
    public IReadOnlyList<CacheSite> Caches { get; } = [.. parts.SelectMany(part => part.Mixer.Caches)];

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
