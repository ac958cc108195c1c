using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>From a path to a model.</summary>
public static class ModelSource
{
    /// <summary>Opens a model on a device; nothing is loaded yet.</summary>
    /// <param name="path">A folder or file.</param>
    /// <param name="device">Where tensors go.</param>
    /// <exception cref="CheckpointException">There is nothing at the path, or what is there is unsound.</exception>
    /// <exception cref="UnsupportedModelException">What is there is of a kind, architecture or type that is not supported.</exception>
    public static CausalModel Open(string path, Device device)
    {
        ICheckpoint checkpoint = CheckpointOpener.Open(path);
        try
        {
            return new CausalModel(checkpoint, device);
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }
}
