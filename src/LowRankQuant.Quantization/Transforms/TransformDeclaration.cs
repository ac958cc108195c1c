using LowRankQuant.Models;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Transforms;

/// <summary>A transform as it declares itself: what it is called and what it takes.</summary>
public abstract class TransformDeclaration
{
    /// <summary>The name, as recipes spell it.</summary>
    public abstract string Name { get; }

    /// <summary>What it does, in a line without a full stop.</summary>
    public abstract string Summary { get; }

    /// <summary>What it takes.</summary>
    public abstract IReadOnlyList<RecipeOption> Options { get; }

    /// <summary>Fills in what was not asked for.</summary>
    /// <param name="values">What was asked for.</param>
    /// <param name="problems">Receives what cannot be run.</param>
    public abstract TransformSettings Resolve(OptionValues values, List<string> problems);
}

/// <summary>A transform with all its options resolved.</summary>
public abstract record TransformSettings
{
    /// <summary>The transform's name.</summary>
    public abstract string Name { get; }

    /// <summary>Everything that decides what it does, by the keys of its options.</summary>
    public abstract IReadOnlyList<KeyValuePair<string, string>> Values { get; }

    /// <summary>Whether it looks at calibration text.</summary>
    public abstract bool NeedsInputs { get; }

    /// <summary>Whether it changes the residual stream, and with it embedding and head.</summary>
    public virtual bool ChangesStream => false;

    /// <summary>Creates the transform of a model.</summary>
    /// <param name="model">The model as it is stored.</param>
    /// <param name="seed">The run's seed.</param>
    /// <exception cref="TransformException">It does not go with the model.</exception>
    public abstract IBlockTransform Create(CausalModel model, ulong seed);

    /// <summary>What is done, in a few words.</summary>
    public abstract string Describe();
}
