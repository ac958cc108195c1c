using LowRankQuant.Formats.Engines;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>llama.cpp: reads GGUF, whose block types all have kernels of their own.</summary>
internal sealed class LlamaCppRules : IEngineRules
{
    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model) =>
        model.Container == "gguf" ? new EngineVerdict(EngineTable.LlamaCpp, EngineSupport.Fast, "every block type has its own kernels") : null;
}
