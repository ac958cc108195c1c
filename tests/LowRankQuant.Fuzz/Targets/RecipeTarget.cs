using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Data;
using LowRankQuant.Evaluation.Tasks.Definitions;

namespace LowRankQuant.Fuzz.Targets;

/// <summary>The recipe of a quiz, beside items that it may name.</summary>
internal sealed class RecipeTarget : FuzzTarget
{
    public override string Name => "recipe";

    protected override void Read(byte[] input, Scratch scratch)
    {
        scratch.Write("quiz.csv", "question,a,b,c,right\n\"What, is\",1,2,3,A\nWhy,x,y,z,b\n"u8);
        scratch.Write("quiz.jsonl", "{\"question\": \"What\", \"choices\": [\"x\", \"y\"], \"right\": 1, \"n\": 2.5, \"o\": {\"p\": null}}\n"u8);
        EvaluationTask task = TaskCatalog.Resolve(scratch.Write("quiz.json", input));
        task.CheckFiles(null);
        task.Problem(new TaskSelection());
        task.Load(new DataFolder(scratch.Folder), new TaskSelection());
    }
}
