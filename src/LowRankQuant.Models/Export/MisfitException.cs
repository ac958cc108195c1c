namespace LowRankQuant.Models.Export;

/// <summary>A model does not fit a container. Nothing was written; every misfit is told at once.</summary>
public sealed class MisfitException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="container">Name of the container.</param>
    /// <param name="misfits">All misfits.</param>
    public MisfitException(string container, IReadOnlyList<Misfit> misfits)
        : base($"{container} cannot hold this model: {string.Join(" ", misfits)}")
    {
        Container = container;
        Misfits = misfits;
    }

    /// <summary>Name of the container.</summary>
    public string Container { get; }

    /// <summary>All misfits.</summary>
    public IReadOnlyList<Misfit> Misfits { get; }
}
