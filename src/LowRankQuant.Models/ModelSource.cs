using LowRankQuant.Formats;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models;

/// <summary>From a path to a model.</summary>
public static class ModelSource
{
    /// <summary>Opens a model on a device to compute with it; nothing is loaded yet.</summary>
    /// <param name="path">A folder or file.</param>
    /// <param name="device">Where tensors go.</param>
    /// <exception cref="CheckpointException">There is nothing at the path, or what is there is unsound.</exception>
    /// <exception cref="UnsupportedModelException">
    /// What is there is of a kind, architecture or type that is not supported, or has quantizers of activations or caches that are not executed for this use.
    /// </exception>
    /// <param name="adapter">An adapter to put on the model; null for the one in the model's folder, if there is one.</param>
    /// <param name="use">What is done with it.</param>
    public static CausalModel Open(string path, Device device, string? adapter = null, ModelUse use = ModelUse.Any)
    {
        CausalModel model = Load(path, device, adapter, use);
        if (model.Checkpoint.Quantizers is not { } quantizers) return model;
        try
        {
            if (use != ModelUse.Forward)
            {
                // The checkpoint warns of what is left out.
                if (quantizers.AreDynamicFloats) return model;
                throw new UnsupportedModelException(
                    $"{path}: {quantizers.Description}; 'lrq eval' runs them, and nothing else does: " +
                    $"'lrq convert {path} `to` {quantizers.WeightsOnlyTarget} `weights_only` `out` DIR' writes the model without.");
            }
            quantizers.CheckExecutable(model.Checkpoint, model.CacheStorageObstacle());
            model.RunsQuantizers = true;
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>As <see cref="Open"/>, also for models that can be looked at and not executed.</summary>
    public static CausalModel Describe(string path, Device device, string? adapter = null) => Load(path, device, adapter, ModelUse.Weights);

    private static CausalModel Load(string path, Device device, string? adapter, ModelUse use)
    {
        ICheckpoint checkpoint = CheckpointOpener.Open(path, adapter, use);
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
