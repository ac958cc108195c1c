using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Quantization.Methods;

/// <summary>A method with all its options resolved: the part of a recipe that is the method's own.</summary>
public abstract record MethodSettings
{
    /// <summary>The method's name.</summary>
    public abstract string Method { get; }

    /// <summary>Everything that decides what the method does, by the keys of its options: given again, the same settings come out.</summary>
    public abstract IReadOnlyList<KeyValuePair<string, string>> Values { get; }

    /// <summary>How first grids are found.</summary>
    public virtual GridStart Start => GridStart.MinMax;

    /// <summary>Whether weights go to the nearest point of their first grid and nothing else is done: the baseline beside every result.</summary>
    public virtual bool RoundsToNearest => false;

    /// <summary>How blocks are trained; null where nothing is.</summary>
    public virtual TrainingSettings? Training => null;

    /// <summary>Whether layers are fitted one by one in double precision.</summary>
    public virtual bool FitsLayers => false;

    /// <summary>What fitting a layer takes, where layers are fitted one by one.</summary>
    public virtual FitMemory FitMemory => FitMemory.Usual;

    /// <summary>Whether the method learns anything from calibration text.</summary>
    public bool LooksAtInputs => FitsLayers || Training is not null || Create().NeedsCalibration;

    /// <summary>Why a block has to be in memory whole, as the end of a sentence; null where experts can be taken one by one.</summary>
    public virtual string? WholeBlock => Training is null ? null : "learns all weights of a block together";

    /// <summary>Whether the model is looked at as a whole before its first block: <see cref="Plan"/> then gives a plan.</summary>
    public virtual bool PlansModel => false;

    /// <summary>Tokens that the model is looked at with, at most, where it is looked at as a whole.</summary>
    public virtual int PlanTokens => ModelPlanContext.UsualTokens;

    /// <summary>Whether what was seen of the whole model holds behind transforms that leave the residual stream as it is.</summary>
    public virtual bool PlanOutlivesFolds => false;

    /// <summary>What the method does to a block before it rounds its weights, behind the transforms of the run; null for nothing.</summary>
    public virtual TransformSettings? Transform => null;

    /// <summary>The budget for the whole model; null for none.</summary>
    public virtual BitBudget? Budget => null;

    /// <summary>Whether a layer may get a low-rank branch.</summary>
    public virtual bool MayHaveBranches => false;

    /// <summary>Bits of an element of a branch's factors.</summary>
    public virtual int FactorBits => 16;

    /// <summary>How the output head is fitted to its inputs; null for the usual way: error-compensated rounding where the method looks at inputs, else to nearest.</summary>
    internal virtual HeadFit? Head => null;

    /// <summary>What takes most of the time of a block, to be timed with little work.</summary>
    public virtual IReadOnlyList<TimedPart> TimedParts => [];

    /// <summary>Creates the method.</summary>
    public abstract IBlockMethod Create();

    /// <summary>Numbers that are learned of the rounding of one layer, those of its rows, columns and groups included; the factors of a branch, whose rank a run decides, are not.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The layer's grid.</param>
    public virtual long LearnedParameters(int outFeatures, int inFeatures, WeightGrid grid) => 0;

    /// <summary>Elements of the branch that a layer may get at most.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="bits">Code width.</param>
    public virtual long BranchElements(int outFeatures, int inFeatures, int bits) => 0;

    /// <summary>Grids and ranks of all layers.</summary>
    /// <exception cref="NotSupportedException">The method plans nothing; see <see cref="PlansModel"/>.</exception>
    public virtual ModelPlan Plan(ModelPlanContext context) => throw new NotSupportedException($"{Method} plans nothing for a whole model.");

    /// <summary>What is done, in a line for people.</summary>
    public abstract string Describe();

    /// <summary>What is learned from calibration text and how, as the rest of a line; empty for nothing more to say.</summary>
    public virtual string DescribeLearning() => "";
}

/// <summary>What fitting a layer of some outputs and inputs holds at once, in double precision.</summary>
/// <param name="Matrices">Matrices of the size of its weight: itself, targets, residuals, values of codes, errors, and what the collector has not taken back.</param>
/// <param name="Covariances">Matrices of its inputs squared: the covariance, the damped one, factors of it.</param>
public readonly record struct FitMemory(int Matrices, int Covariances)
{
    /// <summary>Of methods that work in the full covariance.</summary>
    public static FitMemory Usual { get; } = new(8, 6);

    /// <summary>Bytes of a layer.</summary>
    public long BytesOf(long outFeatures, long inFeatures) => sizeof(double) * ((Matrices * outFeatures * inFeatures) + (Covariances * inFeatures * inFeatures));
}

/// <summary>How the rows of an output head are fitted to their inputs.</summary>
/// <param name="Solver">Chooses codes and scales, without a branch.</param>
/// <param name="Damping">Part of the mean diagonal of the input covariance; null for the usual one, which is then told.</param>
/// <param name="OriginalInputs">Whether the inputs are those of the full-precision model.</param>
internal sealed record HeadFit(ILayerSolver Solver, double? Damping, bool OriginalInputs);

/// <summary>
/// A part of a method whose time grows with some amount: steps of a training, or windows that statistics are taken of. It is run with a little and with a little
/// more, so that what it costs at all and what every unit adds are known apart.
/// </summary>
/// <param name="Probe">The settings with an amount.</param>
/// <param name="Windows">Windows that this takes.</param>
/// <param name="Few">The smaller amount.</param>
/// <param name="More">The larger amount; the same where the time does not depend on it.</param>
/// <param name="Amount">The amount of a run with so many windows to learn from and so many held out.</param>
public sealed record TimedPart(Func<int, MethodSettings> Probe, Func<int, int> Windows, int Few, int More, Func<int, int, double> Amount)
{
    /// <summary>How often the run does what no amount changes; 0 where another part counts it.</summary>
    public int Times { get; init; } = 1;

    /// <summary>Whether it is run once before it is timed: the first time compiles code, which is much beside little work.</summary>
    public bool WarmUp { get; init; }

    /// <summary>Windows that pass the block without gradients beside the work, by the same two numbers.</summary>
    public Func<int, int, double> Passes { get; init; } = (_, _) => 0;

    /// <summary>How often amount and windows may be done all over again at most, as a training does that does not come down.</summary>
    public int Restarts { get; init; }

    /// <summary>Windows that pass beside each of these.</summary>
    public Func<int, int, double> RestartPasses { get; init; } = (_, _) => 0;
}
