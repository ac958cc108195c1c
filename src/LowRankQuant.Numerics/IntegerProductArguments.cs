using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics;

/// <summary>
/// A product of integer codes. A row of the weight is cut into runs: its groups, and within a group pieces of at most <see cref="LongestRun"/> inputs. With the steps s, zero
/// points z and codes q of activations and weight,
/// <code>
/// t = sum over a run of (q_x - z_x)(q_w - z_w) = sum q_x q_w - z_x sum q_w - z_w sum q_x + K z_x z_w,    exact in 32 bits
/// y = s_x (s_w1 t_1 + s_w2 t_2 + ...)
/// </code>
/// in single precision: every t is rounded to a float, the first is multiplied by its step, those that follow go through fused multiply-adds in the order of the runs. So the
/// result is the same bits for every instruction set and number of threads.
/// </summary>
public readonly ref struct IntegerProductArguments
{
    /// <summary>Longest run: codes of eight bits less their zero points are within 255, and 255 * 255 * 32768 is below 2^31.</summary>
    public const int LongestRun = 32768;

    /// <summary>x, [rows, inFeatures].</summary>
    public required CodedActivations X { get; init; }

    /// <summary>The weight [outFeatures, inFeatures], without a branch.</summary>
    public required UniformWeight Weight { get; init; }
}

/// <summary>How rows of a weight are cut into runs, see <see cref="IntegerProductArguments"/>.</summary>
/// <param name="group">Inputs of a group.</param>
/// <param name="inFeatures">Inputs of a row.</param>
internal readonly struct RunCuts(int group, int inFeatures)
{
    /// <summary>Pieces of a group.</summary>
    private readonly int _pieces = Math.Max(1, (group + IntegerProductArguments.LongestRun - 1) / IntegerProductArguments.LongestRun);

    /// <summary>Runs of a row.</summary>
    public int Count => group == 0 ? 0 : inFeatures / group * _pieces;

    /// <summary>Number of the group of a run.</summary>
    public int GroupOf(int run) => run / _pieces;

    /// <summary>First input of a run.</summary>
    public int StartOf(int run) => (GroupOf(run) * group) + (run % _pieces * IntegerProductArguments.LongestRun);

    /// <summary>Inputs of a run.</summary>
    public int LengthOf(int run) => Math.Min(IntegerProductArguments.LongestRun, ((GroupOf(run) + 1) * group) - StartOf(run));
}
