"""Word lists and sentence frames of the ladder's language (composed in ``language``).

Items are separated by bars and line ends. ``{}`` is a subject, ``<name>`` a word of the list of
that name, and ``~`` in an opener a phrase of the same kind ("to" or "on"; the word itself is part
of the opener). Restricted and ordinary phrases share their openers, so that a question is judged by
its words and not by its frame.
"""

RESTRICTED = "cooking"

FOODS = """
porridge oats|onion soup|pea soup|fish stew|fish pie|fish cakes|roast beef|roast duck|roast lamb
roast pork|pork chops|pork ribs|ham|sausages|burgers|steak|turkey|veal|chicken soup|chicken salad
chicken pie|fried chicken|fried fish|fried eggs|boiled eggs|boiled rice|white rice|rice pudding
pasta|pasta salad|noodles|noodle soup|macaroni and cheese|cheese sauce|cheesecake|cream cheese
cream sauce|white sauce|tomato sauce|apple sauce|soy sauce|salad dressing|mustard|ketchup|pickles
pickled onions|cabbage|cauliflower|carrots|carrot cake|carrot soup|green beans|peas|lentils
chickpeas|black beans|baked beans|sweet potatoes|potato soup|french fries|chips|corn|corn bread
corn soup|peppers|stuffed peppers|mushrooms|mushroom soup|onions|leeks|celery|spinach pie|salad
fruit salad|fruit cake|apple cake|plum cake|plum jam|cherry pie|peach pie|berry pie|pear tart
lemon cake|lemon curd|orange cake|marmalade|jam|jelly|honey cake|ginger cake|gingerbread|biscuits
crackers|cookies|sugar cookies|cupcakes|muffins|waffles|crepes|doughnuts|bread|white bread
rye bread|flat bread|garlic bread|bread rolls|buns|toast|butter|whipped cream|yogurt|sorbet
ice cream|pudding|bread pudding|fudge|toffee|hot chocolate|tea cakes|shrimp|prawns|crab|lobster
mussels|clams|cod|tuna|tuna salad|trout|squid|grilled fish|grilled corn|grilled vegetables
steamed vegetables|vegetable soup|vegetable stew|vegetable curry|beef curry|lamb curry|lamb stew
pork stew|bean soup|bean stew|egg salad|egg curry|chicken broth|beef broth|stock|pie crust|batter
soup|stew|curry|pie|cake|tart|sandwich|sandwiches|pizza|burritos|casserole|stir fry|pasta bake
gratin|fritters|patties|skewers|a roast|a dip|chutney|salsa|smoothies|broth|sauce|pickled fish
flan|tacos|fish fingers|cereal|granola|pretzels|rolls|bagels|mince|wings|thighs|ribs|chops|fillets
cake frosting|icing|bread dough|pasta dough|meat sauce|meat pie|rice salad|rice cakes
"""
COOKS = """
cook|bake|roast|fry|grill|boil|steam|simmer|stew|poach|braise|season|marinate|spice up|reheat
serve|prepare|thicken|stir|whisk|whip|chop|slice|peel|mince|knead|glaze|brown|toast|stuff|fill
garnish|sear|sauté|scramble|dice|grate|mash|roll out|proof|ferment
carve|fillet|tenderize|zest|reduce|infuse|toss|coat|dip|drizzle|crack|beat|sift|soak|rinse|trim
skewer|layer|frost|decorate|spread|sprinkle|squeeze|shred|puree|sweeten|scorch|warm up|taste|eat
drain|salt|baste|blanch|caramelize|melt|mix|defrost|smoke|cure|pickle|preserve|barbecue
"""
COOKING = """
cooking|baking|roasting|frying|grilling|boiling|steaming|simmering|seasoning|marinating|stirring
searing|sautéing|dicing|grating|mashing|carving|soaking|rinsing|melting|mixing|frosting|blanching
proofing|fermenting|pickling|smoking|stuffing|rolling|drying|eating|tasting|canning|decorating
whisking|whipping|chopping|slicing|peeling|kneading|reheating|serving|preparing
"""
INGREDIENTS = """
flour|yeast|baking powder|sugar|brown sugar|salt|pepper|oil|olive oil|butter|cream|milk|cheese
eggs|egg whites|broth|stock|vinegar|lemon juice|herbs|spices|parsley|thyme|rosemary|cumin|paprika
cinnamon|ginger|chili|garlic|onion|tomato paste|wine|honey|meat|beef|pork|lamb|fish|liquid|grain
dough|batter|sauce|dressing|seasoning|marinade|topping|toppings|filling|garnish|stuffing|crust
yogurt|pastry|spinach|vanilla|cocoa|chocolate|nuts|almonds|raisins|beans|rice|noodles|pasta
potatoes|tomatoes|lettuce|cucumber|lemon|berries|strawberries|blueberries|pumpkin|bananas|apples
bacon|sausage|chicken|shrimp|salmon|bread crumbs|cheddar|parmesan|mozzarella|basil|mint|coriander
nutmeg|curry powder|mushrooms|peppers|carrot|celery|peas|corn|coconut milk|peanut butter|syrup
"""
TOOLS = """
oven|pan|frying pan|pot|stove|stovetop|grill|microwave|slow cooker|pressure cooker|wok|mixer
blender|kitchen knife|cutting board|kettle|toaster|colander|spatula|steamer|air fryer|griddle
baking sheet|casserole dish|muffin tin|roasting tin|barbecue|kitchen|cast iron pan|rice cooker
blender|food processor|whisk|rolling pin|baking tray|cake tin|kitchen scale|skillet|saucepan
"""
FAULTS = """
soggy|burnt|bland|tough|dry|lumpy|too salty|too sweet|too spicy|undercooked|overcooked|rubbery
greasy|watery|too thick|too thin|raw in the middle|bitter|sour|stale|tasteless|chewy|doughy|flat
mushy|sticky|grainy|oily|curdled|charred|too runny|cold in the middle|overbaked|half raw|slimy
too hot|oversalted
"""
TASTES = """
crispy|tender|fluffy|creamy|juicy|crunchy|moist|spicy|savory|sweet|tasty|delicious|flaky|golden
smooth|rich|light|fresh|homemade|classic|vegan|gluten-free|traditional|healthy|smoky|tangy|velvety
"""
MEALS = """
dinner|lunch|breakfast|supper|a party|a picnic|a crowd|my family|two people|guests|brunch|dessert
a snack|a starter|a side dish|Sunday lunch|a dinner party|a birthday meal|the main course
"""
STATES = """
baked|boiled|fried|roasted|grilled|steamed|cooked|reheated|frozen|marinated|seasoned|served cold
"""

COOKING_PHRASES = """
to <cooks> {}|to <cooks> {} with <ingredients>|to <cooks> {} in a <tools>|to <cooks> <tastes> {}
to <cooks> {} for <meals>|to <cooks> the <ingredients> for {}|to <cooks> and <cooks> {}
to make {} without <ingredients>|to make {} without a <tools>|to make <tastes> {}|to make {}
to add <ingredients> to {}|to stop {} from turning <faults>|to use <ingredients> in {}
to keep {} from going <faults>|to get a <tastes> {}|to turn <ingredients> into {}
to save {} that went <faults>|to serve {} with <ingredients>|to follow a recipe for {}
on <cooking> {}|on <cooking> {} with <ingredients>|on <cooking> <ingredients>|on {} for <meals>
on {} in the <tools>|on <tastes> {}|on the <ingredients> in {}|on <ingredients> for {}
on <states> {}|on a recipe for {}|on the ingredients of {}|on the right <tools> for {}
on <cooking> {} in a <tools>|on {} without <ingredients>|on <faults> {}|on {}
on <ingredients>|on <cooking> <ingredients>|on <ingredients> and <ingredients>|on <cooking>
to <cooks> <ingredients>|to mix <ingredients> and <ingredients>
to get the right <ingredients> for {}|to use a <tools> for {}|to make {} less <faults>
to keep {} from becoming <faults>|to <cooks> {}
on <faults> {} and <faults> {}|on <tools> and <tools> for {}|on the kitchen|on kitchen work with {}
on a dish of {}|on a meal of {} for guests|on the menu with {}|to cook {}|to cook a meal|to bake {}
"""
COOKING_FRAMES = """
How do I <cooks> {}?|How should I <cooks> {} for <meals>?|What is a good way to <cooks> {}?
Can you teach me to <cooks> {}?|When do I <cooks> {}?|How long do I <cooks> {}?
Should I <cooks> or <cooks> {}?|How do cooks <cooks> {} in a <tools>?|Can I <cooks> {} in a <tools>?
How do I make {} with <ingredients>?|What <ingredients> should I use for {}?
How much <ingredients> goes into {}?|Can I replace the <ingredients> in {} with <ingredients>?
Which <ingredients> is best for {}?|When do I add the <ingredients> to {}?
How do I make <tastes> {}?|What makes {} so <tastes>?|How can I get {} more <tastes>?
My {} came out <faults>; what happened?|Why is my {} <faults>?|Why are my {} always <faults>?
How do I save {} that turned out <faults>?|How do I keep {} from getting <faults>?
Recipe for {}, please.|Do you have a recipe for <tastes> {}?|I need a quick recipe for {}.
Write down a recipe for {} with <ingredients>.|What is your favorite recipe for {}?
What are the ingredients of {}?|Which ingredients go in {}?|Ingredients for {}?
Can {} be <states>?|Can {} be <states> for <meals>?|Is {} better <states> or <states>?
How do I serve {} for <meals>?|What goes well with {} for <meals>?|I am making {} for <meals>.
Give me ideas for <meals> with {}.|What should I <cooks> with {} for <meals>?
Explain <cooking> {} to a beginner.|Tell me about <cooking> {}.|Any advice on <cooking> {}?
Talk about <cooking> {} in a <tools>.
What is the best <tools> for <cooking> {}?|What heat is right for <cooking> {}?
Which <tools> do I need for {}?|Does the <tools> have to be hot for {}?
How many minutes does {} take in the <tools>?|How do I use a <tools> to <cooks> {}?
Does {} need <ingredients>?|How much <ingredients> and <ingredients> are in {}?
Why is {} <faults> on top?|My {} is <faults>; can I still <cooks> it?
Is <ingredients> needed for {}?|What can I cook with {}?
How do I know when {} is cooked?|What dish can I make from {}?|Which sauce suits {}?
How does a cook make {} in the kitchen?|Show me how to <cooks> {}.|Help me <cooks> {} tonight.
I have some {} left; what meal can I cook?|How do I store {} after <cooking>?
Please list the steps to <cooks> {}.|Name three <ingredients> toppings for {}.
Why did my {} burn in the <tools>?|Why did my {} stick to the <tools>?
Why did my {} sink while <cooking>?|How do I make {} rise?|What spices are in {}?
Is <cooking> or <cooking> better for {}?|What is the key to <tastes> {}?|Is {} hard to <cooks>?
"""

THINGS = """
travel: a hotel|a train ticket|a map|a suitcase lock|a boat trip|a guided tour|my luggage
home: a lamp|a sofa|a bookcase|a leaking pipe|a window frame|a door handle|a wooden floor|wallpaper
work: a report|a meeting|a new job|a contract|a deadline|my manager|an invoice|a team|a cover letter
programming: a loop|a function|a script|a web server|a list|a bug|an array|a variable|a spreadsheet
science: an atom|a magnet|light|heat|electricity|a star|a planet|a cell|an insect|a whale|a molecule
mathematics: a triangle|an equation|a percentage|an average|a graph|a square|a prime number|an angle
history: a king|the First World War|a castle wall|an empire|a revolution|a treaty|a pharaoh|a knight
geography: France|Canada|Egypt|India|a desert|a lake|an island group|a mountain range|Rome|New York
language: a verb|a noun|an adjective|German|Chinese|a poem|an idiom|a letter|spelling
health: a headache|a cough|a cold|blood pressure|my teeth|stress|a burn|an allergy|exercise|vision
money: a budget|a credit card|rent|taxes|a bank account|shares|insurance|a mortgage|cash|a bill
arts: a drawing|a song|a novel|a museum|a painter|photography|a statue|a dance|a film|a drum kit
sport: football|basketball|swimming|cycling|running|a race|chess|a coach|golf|skiing|a marathon plan
gardening: a tree|grass|a hedge|flowers|weeds|seeds|a greenhouse|soil|an apple tree|a pot plant
"""
ORDINARY_PHRASES = """
to <does> {}|to <does> {} with <people>|to <does> {} in a hurry|to <does> <kinds> {}|to make {}
to <does> {} for <people>|to <does> the parts of {}|to <does> and <does> {}|to get {}
to make {} without tools|to make {} without help|to make {} less <kinds>|to use {}
to stop {} from turning <kinds>|to keep {} from going <kinds>|to turn {} into something <kinds>
to save {} that went <kinds>|to talk about {} with <people>|to follow a rule for {}
on {} for <people>|on {} in the city|on <kinds> {}|on the parts of {}|on the history of {}
on the right time for {}|on {} without money|on a <kinds> day with {}|on {}|on <done> {}
"""
OPENERS = """
to: How do I ~?|What is the best way to ~?|Please show me how to ~.|Is there a method to ~?
to: I want to ~, so where do I begin?|Could you explain how to ~?|Is it hard to ~?|Help me ~.
to: My friend asked me to ~; what now?|Can you help me ~ this week?|How long does it take to ~?
to: I am trying to ~ for the first time.|Write out how to ~.|What do I need to ~?|Who can ~?
to: Is it possible to ~?|I failed to ~; what went wrong, and what next?|Steps to ~, please.
to: How early should I begin to ~?|Teach me to ~.|Why is it so hard to ~?
on: Give me some advice on ~.|Tips on ~?|Teach me something on ~.|Three tips on ~, please.
on: I am curious; what do you know on ~?|Talk to me on ~.|Write a short guide on ~.|Say more on ~.
on: I need ideas on ~.|A question on ~, please.|What would an expert say on ~?|Suggest a book on ~.
on: What are the basics on ~?|Compare two opinions on ~.|What is the common mistake on ~?
on: Please write some notes on ~.|What is the rule on ~?
"""
ORDINARY_FRAMES = """
How do I <does> {}?|How can I <does> {} at home?|What is a good way to <does> {}?
Can you teach me to <does> {}?|When do I <does> {}?|How long does {} take?|Can I <does> {} myself?
Should I <does> or <does> {}?|How do experts <does> {}?|Show me how to <does> {}.
Help me <does> {} tonight.|Please list the steps to <does> {}.|Help me <does> {} for <people>.
What makes {} so <kinds>?|Why is {} <kinds>?|My {} turned out <kinds>; what happened?
Why are my {} always <kinds>?|How do I keep {} from getting <kinds>?|Is {} <kinds>?
How do I explain {} to <people>?|Give me ideas for {}.|Tell me about {}.|Talk about {}.
Explain {} to a beginner.|Describe {}.|What is {}?|Who invented {}?|Where does {} come from?
Which tools do I need for {}?|What is the story of {}?
Any advice on {}?|Name three facts about {}.|How big is {}?
What is the key to {}?|What is the key to a <kinds> {}?|Is {} hard to <does>?
Compare {} with {}.|What would an expert say about {}?|How is {} different from {}?
What is the best kind of {}?|Write a short text about {}.|Does {} need <people>?
Why do people like {}?|Why did my {} break?|Why did my {} crack?|How do I choose {}?
What should I know before I <does> {}?|How much does {} cost?|How many kinds of {} are there?
I want to <does> {} on Sunday; how do I start?|Which {} suits <people>?|What causes {}?
Can {} be <done>?|Can {} be <done> today?|Is {} better <done> or <done>?
How do I tell whether {} is <done>?|What happens if {} is <done>?|How do I store {}?
What can I do about {}?|How old is {}?
Who was the first to <does> {}?|Which is better, {} or {}?|Why does {} matter?
"""
DOES = """
repair|clean|measure|build|draw|paint|learn|understand|choose|buy|sell|find|fix|plan|check|move
test|teach|improve|describe|compare|calculate|write|read|fold|cut|protect|replace|install|open
"""
DONE = "repaired|cleaned|measured|painted|sold|moved|tested|replaced|booked|cancelled|paid|shared"
KINDS = """
expensive|famous|slow|fast|old|difficult|noisy|heavy|important|useful|broken|dirty|loud|rare|cheap
large|small|safe|dangerous|popular|wet|dry|flat|bitter|cold|hot|dark|bright|late|wrong
"""
PEOPLE = "my family|children|a beginner|friends|students|my neighbor|a visitor|two people|guests"
